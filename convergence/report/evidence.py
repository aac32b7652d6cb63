"""From evidence to verdicts: what a claim's parts say, Holm's adjustment, and the rule that decides.

A claim has parts (one per metric, or one per clause), and all must hold: its p is the largest of theirs, which keeps
its level without any correction (intersection-union test, Berger 1982). Over claims p is adjusted by Holm (1979).

supported
    Every part's adjusted p is 0.05 or less: the effect lies on the claim's side of its threshold.
not supported
    The data speak against some part: its effect lies beyond the threshold on the other side, or within the stated
    region of no importance, with p of 0.05 or less times the number of parts (Bonferroni).
cannot tell
    Anything else: rows are missing, there are too few networks, or the interval includes both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd

from convergence.report import words
from convergence.results import views as tables
from convergence.results.uncertainty import Estimate

ALPHA = 0.05


class Verdict(Enum):
    supported = "supported"
    not_supported = "not supported"
    cannot_tell = "cannot tell"


@dataclass(frozen=True)
class Part:
    """One metric, or one clause, of a claim.

    Attributes
    ----------
    what : the effect's name, such as ``slope, Procrustes``.
    estimate : the effect.
    p : of the claim's side; NaN where there is no test, None of a part that can only speak against the claim.
    against : p of the other side, and of effects without importance; NaN where there is no test.
    otherwise : what holds where the data speak against it.
    """

    what: str
    estimate: Estimate
    p: float | None
    against: float
    otherwise: str


def directed(
    what: str, estimate: Estimate, otherwise: str, *, threshold: float = 0.0, sign: int = 1, least: float = 0.0
) -> Part:
    """The part that says "above" (sign 1) or "below" (-1) a threshold, by ``least`` or more if it is to matter."""
    against = estimate.p_value(threshold + sign * least, -sign)
    return Part(what, estimate, estimate.p_value(threshold, sign), against, otherwise)


@dataclass(frozen=True)
class Basis:
    """The rows that a claim rests on."""

    rows: int = 0
    runs: int = 0
    pairs: int = 0
    layers: int = 0
    stimuli: tuple[int, ...] = ()

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Basis:
        """Count what these rows are of."""
        if rows.empty:
            return cls()
        source = rows[["source_model", "source_layer"]].set_axis(["model", "layer"], axis=1)
        target = rows[["target_model", "target_layer"]].set_axis(["model", "layer"], axis=1)
        layers = len(pd.concat([source, target]).drop_duplicates())
        stimuli = sorted({int(m) for m in (rows.n_train + rows.n_test).dropna()})
        return cls(len(rows), rows.run.nunique(), len(set(tables.pair(rows))), layers, tuple(stimuli))

    def __str__(self) -> str:
        if not self.rows:
            return "no rows"
        counted = [(self.rows, "row"), (self.runs, "run"), (self.pairs, "pair"), (self.layers, "layer")]
        sizes = [f"{m:,}" for m in ([self.stimuli[0], self.stimuli[-1]] if len(self.stimuli) > 1 else self.stimuli)]
        counts = ", ".join(f"{n:,} {name}{'' if n == 1 else 's'}" for n, name in counted)
        return f"{counts}, M\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{' to '.join(sizes)}"


@dataclass(frozen=True)
class Evidence:
    """What the rows say of one claim, before a verdict.

    Attributes
    ----------
    missing : what is lacking for a verdict in favour, with what to run; empty where nothing is.
    note : what the reader should know besides.
    """

    number: int
    text: str
    parts: tuple[Part, ...] = ()
    rows: pd.DataFrame | None = None
    missing: str = ""
    note: str = ""

    @property
    def p(self) -> float:
        """The largest p of the parts; NaN where something is missing."""
        known = [part.p for part in self.parts if part.p is not None]
        return float("nan") if self.missing or not known or np.isnan(known).any() else max(known)


@dataclass(frozen=True)
class Claim:
    """A line of the report.

    Attributes
    ----------
    effect, interval, p : of the weakest part, named in ``what``; None where there is none.
    p_holm : p adjusted for all claims of the report.
    basis : the rows that it rests on.
    reason : why this verdict.
    parts : all parts.
    """

    number: int
    text: str
    verdict: Verdict
    effect: float | None
    interval: tuple[float, float] | None
    p: float | None
    basis: str
    reason: str
    what: str = ""
    over: str = ""
    p_holm: float | None = None
    parts: tuple[Part, ...] = ()


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment; NaN stays NaN and does not count."""
    p = np.asarray(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def judge(evidence: Sequence[Evidence]) -> list[Claim]:
    """Verdicts on all claims of a report, p adjusted over all of them."""
    return [_judged(e, p) for e, p in zip(evidence, holm([e.p for e in evidence]), strict=True)]


def _judged(evidence: Evidence, adjusted: float) -> Claim:
    verdict, part, reason = _verdict(evidence, adjusted)
    basis = str(Basis.of(evidence.rows)) if evidence.rows is not None else str(Basis())
    effect = interval = None
    if part is not None and not np.isnan(part.estimate.value):
        effect = part.estimate.value
        interval = None if np.isnan(part.estimate.error) else part.estimate.interval
    return Claim(
        number=evidence.number,
        text=evidence.text,
        verdict=verdict,
        effect=effect,
        interval=interval,
        p=None if np.isnan(evidence.p) else evidence.p,
        basis=basis,
        reason=" ".join(filter(None, (reason, evidence.note))),
        what=part.what if part else "",
        over=part.estimate.over if part else "",
        p_holm=None if np.isnan(adjusted) else float(adjusted),
        parts=evidence.parts,
    )


def _verdict(evidence: Evidence, adjusted: float) -> tuple[Verdict, Part | None, str]:
    """The verdict, the part that decides, and why."""
    parts = evidence.parts
    against = [1.0 if np.isnan(part.against) else part.against for part in parts]
    if parts and min(against) * len(parts) <= ALPHA:
        worst = parts[int(np.argmin(against))]
        told = f"{worst.otherwise}: p {words.p_value(min(1, min(against) * len(parts)))} against the claim"
        return (
            Verdict.not_supported,
            worst,
            _sentence(f"{told}, Bonferroni over {len(parts)} parts" if parts[1:] else told),
        )
    tested = [(2.0 if np.isnan(part.p) else part.p, part) for part in parts if part.p is not None]
    weakest = max(tested, key=lambda pair: pair[0], default=(2.0, None))[1]
    if evidence.missing:
        return Verdict.cannot_tell, weakest, _sentence(evidence.missing)
    if weakest is None or np.isnan(evidence.p):
        return Verdict.cannot_tell, weakest, "There are too few networks for an interval."
    if adjusted <= ALPHA:
        return (
            Verdict.supported,
            weakest,
            "" if len(tested) == 1 else f"All {len(tested)} parts hold; shown: the weakest.",
        )
    if evidence.p <= ALPHA:
        return Verdict.cannot_tell, weakest, "The evidence does not last once p is adjusted for all claims."
    return Verdict.cannot_tell, weakest, "The interval includes both."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
