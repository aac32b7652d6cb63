"""Tables that are made from the program: ``{convergence-options}`` and ``{convergence-columns}``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any, get_args, get_type_hints

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from convergence.experiment.compose import schemas
from convergence.results.table import SCHEMA

TITLES = {
    "config": "Where and how a run works",
    "model": "model: the networks",
    "dataset": "dataset: the images",
    "metric": "metric: how layers are compared",
    "null": "null: chance",
    "axis": "axis: what is compared",
}
ABOUT = {
    "axis": "depth, training or ood",
    "dataset": "name of the images; `recorded` where there are none",
    "condition": "`wd` (within distribution), or a shift's name",
    "level": "of the shift",
    "protocol": "`refit` or `transfer`, under a shift",
    "run": "hash in the name of the run's folder",
    "model": "name of the network",
    "weights": "which weights: a seed, a tag or a file",
    "seed": "the network's seed, where it has one",
    "step": "steps of training done; 0 before training",
    "epoch": "epochs of training done; 0 before training",
    "layer": "name of the layer",
    "depth": "of the layer, from 0 (first) to 1 (last)",
    "units": "of the layer",
    "dead": "units that were left out, as they never change",
    "accuracy": "of the network, on these very images",
    "metric": "see `list metrics`",
    "direction": "which side predicts which",
    "fold": "held-out fold; empty in rows of chance",
    "score": "mean Pearson r over live target units, or the measure itself",
    "score_global": "Frobenius correlation, of maps",
    "score_transport": "Σ T r, of matching metrics",
    "penalty": "chosen by ridge regression",
    "n_train": "samples in the training folds",
    "n_test": "samples in the held-out fold",
    "null": "`shuffle` or `rotation` in rows of chance; else empty",
    "draw": "number of a single draw, with `null.keep_draws=true`",
    "draws": "how many draws the row rests on",
    "p_value": "(1 + #{null ≥ score}) / (1 + draws)",
    "p_value_max": "the same, against the null's maximum over layers",
    "null_quantile": "τ, the 1 − `null.alpha` quantile of the null",
    "score_calibrated": "max((score − τ) / (1 − τ), 0)",
    "target_reliability": "how well recorded target units repeat",
    "score_corrected": "score, corrected for the target's noise",
}


def columns() -> Iterator[tuple[str, str, str]]:
    """Each column of the results, its type, and what it is; those of source and target together."""
    for field in SCHEMA:
        side, _, rest = field.name.partition("_")
        if field.name in ABOUT:
            yield field.name, str(field.type), ABOUT[field.name]
        elif side == "source":
            yield f"source_{rest}, target_{rest}", str(field.type), ABOUT[rest]


def options(group: str) -> Iterator[tuple[type, list[tuple[str, str, str]]]]:
    """The group's dataclasses, the general ones first, each with the options that are its own."""
    seen: dict[type, None] = {}
    for owner, schema in schemas():
        if owner == group:
            seen |= dict.fromkeys(c for c in reversed(schema.__mro__) if is_dataclass(c) and c.__name__ != "Experiment")
    for made in seen:
        rows = list(_rows(made, "" if group == "config" else f"{group}."))
        if rows:
            yield made, rows


def rows_by_group() -> dict[str, list[tuple[str, str, str]]]:
    """Name, default and description of every option, by group."""
    return {group: [row for _, rows in options(group) for row in rows] for group in TITLES}


def _rows(made: type, prefix: str) -> Iterator[tuple[str, str, str]]:
    comments, hints = _comments(made), get_type_hints(made)
    for field in fields(made):
        if field.name not in inspect.get_annotations(made) or field.name == "name":
            continue
        nested = hints[field.name]
        if is_dataclass(nested):
            yield from _rows(nested, f"{prefix}{field.name}.")  # type: ignore[arg-type]
            continue
        yield prefix + field.name, _default(field), comments.get(field.name) or _members(nested)


def _default(field: Field[Any]) -> str:
    value = field.default if field.default_factory is MISSING else field.default_factory()
    return _written(value)


def _written(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, dict):
        return "{}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "" if value == "???" else str(value)


def _members(kind: Any) -> str:
    enums = [k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, Enum)]
    if not enums:
        return ""
    comments = _comments(enums[0])
    shown = [f"{m.value} ({comments[m.name]})" if m.name in comments else str(m.value) for m in enums[0]]
    return "; ".join(shown)


def _comments(made: type) -> dict[str, str]:
    """What the source says of each field: the comment on its line, or those on the lines above it."""
    lines = inspect.getsource(made).splitlines()
    found: dict[str, str] = {}
    above: list[str] = []
    for line in lines:
        text = line.strip()
        name = text.split(":")[0].split("=")[0].strip()
        if text.startswith("#"):
            above.append(text.lstrip("# "))
        elif name.isidentifier() and (":" in text or "=" in text) and not text.startswith(("class ", "def ", '"""')):
            _, mark, behind = text.rpartition("  # ")
            own = behind if mark and not behind.startswith("noqa") else ""
            found[name] = own or " ".join(above)
            above = []
        else:
            above = []
    return {name: comment for name, comment in found.items() if comment}


class _Table(Directive):
    def table(self, heads: tuple[str, ...], rows: list[tuple[str, ...]], literal: int) -> nodes.table:
        """A table whose first ``literal`` columns are code; in the others backquotes mark code."""
        group = nodes.tgroup(cols=len(heads))
        group += [nodes.colspec(colwidth=1) for _ in heads]
        head, body = nodes.thead(), nodes.tbody()
        head += self._row(heads, 0)
        for row in rows:
            body += self._row(row, literal)
        group += [head, body]
        table = nodes.table()
        table += group
        return table

    def _row(self, cells: tuple[str, ...], literal: int) -> nodes.row:
        row = nodes.row()
        for i, cell in enumerate(cells):
            entry, paragraph = nodes.entry(), nodes.paragraph()
            pieces = [("", cell)] if not cell else ([("code", cell)] if i < literal else _pieces(cell))
            paragraph += [nodes.literal(text, text) if kind else nodes.Text(text) for kind, text in pieces]
            entry += paragraph
            row += entry
        return row


def _pieces(text: str) -> list[tuple[str, str]]:
    return [("code" if i % 2 else "", part) for i, part in enumerate(text.split("`")) if part]


class Options(_Table):
    """All options, by group."""

    def run(self) -> list[nodes.Node]:
        found: list[nodes.Node] = []
        for group, title in TITLES.items():
            section = nodes.section(ids=[f"options-{group}"])
            section += nodes.title(text=title)
            for made, rows in options(group):
                about = inspect.getdoc(made) or ""
                if about and not about.startswith(f"{made.__name__}("):
                    sentence = nodes.paragraph()
                    sentence += [
                        nodes.literal(text, text) if kind else nodes.Text(text) for kind, text in _pieces(about)
                    ]
                    section += sentence
                section += self.table(("option", "default", "what it does"), rows, 2)
            found.append(section)
        return found


class Columns(_Table):
    """All columns of the results."""

    def run(self) -> list[nodes.Node]:
        return [self.table(("column", "type", "what it is"), list(columns()), 1)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Known to Sphinx."""
    app.add_directive("convergence-options", Options)
    app.add_directive("convergence-columns", Columns)
    return {"parallel_read_safe": True}
