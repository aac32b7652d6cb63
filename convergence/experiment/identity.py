"""What the rows of a comparison were made from: its images, its networks, the options of scoring, and the program.

A run's folder is named by what its options say. What they stand for may change in between: an image is replaced, a
checkpoint is written again, the program scores otherwise. So each shard of results carries the identity of what it was
made from, and counts as done only for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from convergence.activations.extract import VERSION as EXTRACTION
from convergence.alignment.score import VERSION as SCORING
from convergence.axes.comparison import Comparison
from convergence.experiment.config import Config
from convergence.experiment.folder import metrics_of, plain
from convergence.experiment.rows import protocols_of
from convergence.models.network import Network
from convergence.models.recordings.recording import Recording
from convergence.models.trained import VERSION as TRAINING
from convergence.results.table import Identity
from convergence.system import user_code
from convergence.system.hashing import digest

PROGRAM = {"extraction": EXTRACTION, "scoring": SCORING, "training": TRAINING}
_CODE = ("factory", "preprocess", "names")  # options that may name a function of a module
_WORDS = {
    "images": "other images",
    "networks": "other networks",
    "options": "other options",
    "code": "other code of yours",
    "program": "another version of the program",
}


def identity(cfg: Config, comparison: Comparison) -> Identity:
    """Hashes of all that the comparison's rows depend on, by kind."""
    sides = [[_told_of(network) for network in side] for side in (comparison.x, comparison.y)]
    conditions = [(c.name, c.level, c.stimuli.fingerprint) for c in comparison.conditions]
    options = [metrics_of(cfg), cfg.metric.folds, cfg.metric.seed, [p.value for p in protocols_of(cfg, comparison)]]
    if cfg.null.kinds:
        options.append(plain(cfg.null))
    return {
        "images": digest(comparison.stimuli.fingerprint, conditions, comparison.first),
        "networks": digest(sides, comparison.pairs),
        "options": digest(options),
        "code": digest([user_code.fingerprint(spec) for spec in specs(plain(cfg))]),
        "program": digest(PROGRAM),
    }


def _told_of(network: Network) -> list[object]:
    """What the rows of a network depend on, and what they say of it."""
    seen = list(network.ids or ()) if isinstance(network, Recording) else None
    return [network.key, network.weights, network.seed, network.step, network.epoch, seen]


def specs(value: object, is_code: bool = False) -> list[str]:
    """The user's code that options name (``FILE.py:NAME``, ``package.module:NAME``), wherever it stands in them."""
    if isinstance(value, Mapping):
        return [spec for name, inner in value.items() for spec in specs(inner, name in _CODE)]
    if isinstance(value, list | tuple):
        return [spec for inner in value for spec in specs(inner, is_code)]
    named = isinstance(value, str) and (user_code.is_spec(value) or (is_code and ":" in value))
    return [str(value)] if named else []


def told(changed: Iterable[tuple[Identity, Identity]]) -> str:
    """In what the results that are there differ from those that are wanted, for people."""
    kinds: Counter[str] = Counter()
    for old, new in changed:
        kinds.update([kind for kind in new if old.get(kind) != new[kind]] if old else ["program"])
    return " and ".join(_WORDS[kind] for kind in _WORDS if kinds[kind])
