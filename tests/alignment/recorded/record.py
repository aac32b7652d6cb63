"""Record the rows of all cases in ``rows.parquet``, which ``tests/alignment/test_recorded.py`` compares with.

    python tests/alignment/recorded/record.py

What is kept was recorded at commit aa92f3c, on a CPU. Run it again only to add cases, or where scores are meant to
change: it takes what today's code computes for the truth.
"""

from __future__ import annotations

import pandas as pd
from cases import CASES, FILE, TEXT, rows


def main() -> None:
    table = pd.concat([rows(case).assign(case=name) for name, case in CASES.items()], ignore_index=True)
    table = table[["case", "set", *(name for name in table.columns if name not in ("case", "set"))]]
    table = table.fillna(dict.fromkeys(TEXT, ""))
    table.to_parquet(FILE, compression="zstd", index=False)
    print(f"{len(CASES)} cases, {len(table):,} rows, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
