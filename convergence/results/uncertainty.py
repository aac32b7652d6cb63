"""Intervals: over networks, over stimuli, over shifts. They answer different questions, and each one says over what.

Over networks (seeds)
    What would other independently trained networks give? Pairs that share a network are not independent, so networks
    are left out in turn, never pairs: a mean over pairs is a U-statistic, whose variance the jackknife over its members
    estimates (Arvesen 1969; for two kinds of networks, Efron & Stein 1981), with Student's t on Welch-Satterthwaite
    degrees of freedom. The percentile bootstrap over networks is no 95 % interval at such numbers: where the networks'
    own effects dominate it covers one time in two with three networks, four times in five with five.
Over stimuli
    What would other images give, with these very networks? Results hold scores by fold, not by image: a bootstrap over
    stimuli is not possible from them. What can be had is the corrected t interval over folds (Nadeau & Bengio 2003),
    which allows for the training sets that the folds share.
Over folds
    The spread between the held-out parts as it is: a band in figures, never an interval.
Over shifts
    What would other shifts give? Shifts are left out in turn, too; correlations over shifts as Fisher's z.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

LEVEL = 0.95
_EXACT = 5  # folds up to which the corrected t interval holds the truth as often as it says, not more often
Array = NDArray[np.float64]
Network = tuple[str, str]  # model, training run
Statistic = Callable[[Array], Array | float]


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error; NaN errors where none can be told.

    Attributes
    ----------
    value, error : the estimate and its standard error.
    freedom : degrees of freedom of Student's t.
    over : what the error is over, such as ``3 networks``; empty where there is none.
    bounds : what the value can be at all; intervals end there.
    """

    value: float
    error: float = np.nan
    freedom: float = np.nan
    over: str = ""
    bounds: tuple[float, float] = (-np.inf, np.inf)

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % interval; NaN where there is none."""
        half = float(stdtrit(self.freedom, (1 + LEVEL) / 2) * self.error)
        low, high = np.clip([self.value - half, self.value + half], *self.bounds)
        return float(low), float(high)

    def p_value(self, threshold: float, sign: int) -> float:
        """Twice the one-sided p (at most 1) of "above" (sign 1) or "below" (-1) the threshold; NaN without an error.

        It is 0.05 or less exactly where the 95 % interval lies on that side of the threshold.
        """
        distance = sign * (self.value - threshold)
        if np.isnan(self.error):
            return float("nan")
        if self.error == 0:
            return 0.0 if distance > 0 else 1.0
        return float(min(1.0, 2 * stdtr(self.freedom, -distance / self.error)))


def together(*estimates: Estimate) -> Estimate:
    """One value whose errors come from several sources (networks and shifts): their squares add.

    Conservative: what both sources share is counted twice (Owen 2007, section 3).
    """
    known = [e for e in estimates if not np.isnan(e.error)]
    if not known:
        return estimates[0]
    errors = np.array([e.error for e in known]) ** 2
    freedom = float(_welch(errors, np.array([e.freedom for e in known])))
    return Estimate(estimates[0].value, float(np.sqrt(errors.sum())), freedom, " and ".join(e.over for e in known))


# ---------------------------------------------------------------- over networks


@dataclass(frozen=True)
class Sample:
    """What a statistic is computed from in one study: pairs of networks on the same stimuli.

    Attributes
    ----------
    pairs : both networks of each pair.
    values : (pairs, folds, …).
    """

    pairs: tuple[tuple[Network, Network], ...]
    values: Array

    @property
    def networks(self) -> list[Network]:
        """All networks, in order."""
        return sorted({n for pair in self.pairs for n in pair})

    def without(self, network: Network | None = None) -> Array:
        """(…,) mean over folds and over the pairs that lack this network."""
        kept = [i for i, pair in enumerate(self.pairs) if network not in pair]
        return self.values[kept].mean(axis=(0, 1))

    @property
    def tells_networks(self) -> bool:
        """Whether a pair is left when any one network is left out: three of one kind, or two of both."""
        return all(any(n not in pair for pair in self.pairs) for n in self.networks)


def telling(samples: Sequence[Sample]) -> list[Sample]:
    """The samples that give an interval over networks; all of them where none does."""
    return [s for s in samples if s.tells_networks] or list(samples)


def over_networks(samples: Sequence[Sample], statistic: Statistic | Sequence[Statistic]) -> Estimate:
    """The statistic of each sample's mean over pairs, averaged over samples, with an interval over networks.

    Parameters
    ----------
    samples : see :func:`telling`; without an interval where one of them gives none.
    statistic : of a mean, (…,) to one number; the same for all samples, or one for each.
    """
    value = _averaged(samples, statistic, None)
    if not all(s.tells_networks for s in samples):
        return Estimate(value)
    networks = sorted({n for s in samples for n in s.networks})
    replicates = np.array([_averaged(samples, statistic, n) for n in networks])
    error, freedom = jackknife(replicates, [model for model, _ in networks])
    return Estimate(value, float(error), float(freedom), f"{len(networks)} networks")


def _averaged(samples: Sequence[Sample], statistic: Statistic | Sequence[Statistic], network: Network | None) -> float:
    each = [statistic] * len(samples) if callable(statistic) else statistic
    return float(np.mean([of(s.without(network)) for of, s in zip(each, samples, strict=True)]))


def jackknife(replicates: Array, groups: Sequence[object]) -> tuple[Array, Array]:
    """Standard error and degrees of freedom from replicates that leave one member out.

    Parameters
    ----------
    replicates : (members, …), the statistic without each member.
    groups : which group each member belongs to; groups are independent, and their variances add.
    """
    kinds = list(dict.fromkeys(groups))
    variances, freedoms = [], []
    for kind in kinds:
        part = replicates[[g == kind for g in groups]]
        n = len(part)
        variances.append((n - 1) / n * ((part - part.mean(axis=0)) ** 2).sum(axis=0))
        freedoms.append(n - 1)
    squares = np.array(variances)
    return np.sqrt(squares.sum(axis=0)), _welch(squares, np.array(freedoms, dtype=float))


def interval(value: Array, error: Array, freedom: Array) -> tuple[Array, Array]:
    """Low and high ends of the 95 % intervals."""
    half = stdtrit(freedom, (1 + LEVEL) / 2) * error
    return value - half, value + half


def _welch(variances: Array, freedoms: Array) -> Array:
    """Welch-Satterthwaite degrees of freedom of a sum of variances, along the first axis."""
    weights = freedoms.reshape(-1, *(1,) * (variances.ndim - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = variances.sum(axis=0) ** 2 / (variances**2 / weights).sum(axis=0)
    return np.where(np.isnan(freedom), freedoms.min(), freedom)[()]


def left_out(groups: Sequence[int]) -> NDArray[np.int64] | None:
    """How often each network counts when each in turn is left out, (networks, networks); None where no pair is left.

    Parameters
    ----------
    groups : number of networks in each group: one (pairs within it) or two (pairs between them).
    """
    if min(groups) < (3 if len(groups) == 1 else 2):
        return None
    return 1 - np.eye(sum(groups), dtype=np.int64)


def pair_weights(counts: NDArray[np.int64], pairs: Sequence[tuple[int, int]]) -> Array:
    """Weight of each pair where networks count so often, (resamples, pairs); rows sum to one."""
    weights = np.stack([counts[:, a] * counts[:, b] for a, b in pairs], axis=1).astype(float)
    return weights / weights.sum(axis=1, keepdims=True)


# ---------------------------------------------------------------- over stimuli, over shifts


def over_stimuli(folds: Iterable[float]) -> Estimate:
    """Mean of a statistic over folds, with the interval that allows for their shared training sets.

    The variance has 1/K + n_test/n_train = 1/K + 1/(K - 1) in the place of 1/K (Nadeau & Bengio 2003, section 3).
    """
    values = np.array(list(folds), dtype=float)
    k = len(values)
    error = values.std(ddof=1) * np.sqrt(1 / k + 1 / (k - 1)) if k > 1 else np.nan
    wide = "; conservative" if k > _EXACT else ""  # docs/statistics.md
    return Estimate(float(values.mean()), float(error), k - 1, f"stimuli (from {k} folds; these very networks{wide})")


def networks_or_stimuli(samples: Sequence[Sample], statistic: Statistic) -> Estimate:
    """An interval over networks where there are enough, else over stimuli, for these very networks."""
    if all(s.tells_networks for s in samples) or len({s.values.shape[1] for s in samples}) > 1:
        return over_networks(samples, statistic)
    by_fold = np.array([[float(statistic(fold)) for fold in s.values.mean(axis=0)] for s in samples])
    folds = over_stimuli(by_fold.mean(axis=0))
    return Estimate(_averaged(samples, statistic, None), folds.error, folds.freedom, folds.over)


def over_shifts(statistic: Callable[[NDArray[np.int64]], float], shifts: int) -> Estimate:
    """A statistic of the shifts (given by their places) with an interval over shifts, each left out in turn."""
    everything = np.arange(shifts)
    value = statistic(everything)
    if shifts < 3:
        return Estimate(value)
    replicates = np.array([statistic(np.delete(everything, i)) for i in everything])
    error, freedom = jackknife(replicates, [0] * shifts)
    return Estimate(value, float(error), float(freedom), f"{shifts} shifts")
