"""The verdicts of `convergence report` on several sets of results side by side, as a Markdown table.

python scripts/claims_table.py "shapes=outputs/shapes" "CIFAR-10=outputs/cifar10 outputs/nulls"
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from convergence.report import words
from convergence.report.claims import CLAIMS
from convergence.report.evidence import Claim, judge
from convergence.results import table as results


def column(places: str) -> list[Claim]:
    """Verdicts on all claims from the results in these folders, which are of one data set."""
    rows = results.read(places.split())
    return judge([claim.evidence(rows) for claim in CLAIMS])


def cell(claim: Claim) -> str:
    """Verdict, and the effect of the part that decides, with its interval."""
    effect = "" if claim.effect is None else f"<br>{claim.what}: {words.effect(claim)}"
    return f"{words.mark(claim)} {claim.verdict.value}{effect}"


def main(arguments: Sequence[str]) -> None:
    """Print the table; each argument is a heading, ``=``, and folders with spaces between them."""
    named = dict(argument.split("=", 1) for argument in arguments)
    columns = [column(places) for places in named.values()]
    print("| | claim | " + " | ".join(named) + " |")
    print("|--|--|" + "--|" * len(named))
    for row in zip(*columns, strict=True):
        print(f"| {row[0].number} | {row[0].text} | " + " | ".join(map(cell, row)) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
