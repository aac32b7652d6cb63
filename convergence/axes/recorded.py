"""What recordings are compared on: the stimuli that all of them, and the data set, have in common."""

from __future__ import annotations

import logging
from dataclasses import replace

from convergence.axes.options import Experiment
from convergence.axes.splits import split_of
from convergence.models.options import ArraysConfig
from convergence.models.recordings.matching import matched
from convergence.models.recordings.recording import Recording, recordings
from convergence.stimuli import load as stimuli
from convergence.stimuli.base import Stimuli
from convergence.stimuli.options import FilesConfig, ModuleConfig
from convergence.stimuli.recorded import recorded_stimuli
from convergence.system.errors import UserError

_LEAST = 10  # common stimuli per fold
_log = logging.getLogger("convergence")


def recorded(config: Experiment) -> list[ArraysConfig]:
    """The sides that are recordings."""
    return [side for side in config.sides if isinstance(side, ArraysConfig)]


def without_images(config: Experiment) -> bool:
    """Whether recordings are compared with recordings alone, so that no data set is needed."""
    return len(recorded(config)) == len(config.sides)


def refuse(config: Experiment, why: str) -> None:
    """Refuse recordings on an axis that has no meaning for them.

    Raises
    ------
    UserError
        If there are some.
    """
    if recorded(config):
        raise UserError(f"axis={config.axis.name} can't take recorded responses (model=arrays): {why}; use axis=depth.")


def common(config: Experiment) -> Stimuli | None:
    """The stimuli that a run with recordings is scored on; None of a run without.

    Among recordings alone they are ids; with networks, the data set's images that all recordings have seen.

    Raises
    ------
    UserError
        If a recording can't be read, has no ids where these are needed, or too few stimuli are common to all.
    """
    found = [one for side in recorded(config) for one in recordings(side)]
    if not found:
        return None
    folds = config.metric.folds
    if without_images(config):
        return _enough(recorded_stimuli(_shared(found)), folds, " and ".join(map(str, found)))
    for one in found:
        if one.ids is None:
            raise UserError(
                f"{one} has no stimulus_ids, so it is not known which image is which: save them beside the arrays, or "
                "name a file of them with model.stimulus_ids=FILE."
            )
    dataset = config.dataset
    whole = replace(dataset, stimuli=None) if isinstance(dataset, FilesConfig | ModuleConfig) else dataset
    images = stimuli.load(whole, split_of(config))
    kept = set(range(len(images)))
    for one in found:
        assert one.ids is not None
        places = matched(images.ids, one.ids)
        _log.info(
            f"{len(places):,} of the {len(one.ids):,} stimuli of {one} are among the {len(images):,} images of "
            f"{images.name}."
        )
        if not places:
            raise UserError(
                f"none of the stimuli of {one} ('{one.ids[0]}', …) is among the images of {images.name} "
                f"('{images.ids[0]}', …): ids must be the images' file names, with or without ending and folder."
            )
        kept &= set(places)
    shown = sorted(kept)[: dataset.stimuli]
    return _enough(images.take(shown), folds, " and ".join([*map(str, found), images.name]))


def _shared(found: list[Recording]) -> list[str]:
    """Ids that all recordings have, in the order of the first; where none has any, the places of the stimuli."""
    without = [one for one in found if one.ids is None]
    if len(without) == len(found):
        sizes = {str(one): one.rows for one in found}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name} {rows:,}" for name, rows in sizes.items())
            raise UserError(
                f"the recordings have different numbers of stimuli ({told}), and no stimulus_ids: add them."
            )
        return [str(i) for i in range(found[0].rows)]
    if without:
        has = next(one for one in found if one.ids is not None)
        raise UserError(f"{without[0]} has no stimulus_ids and {has} has: give them to both, or to neither.")
    first = found[0].ids or ()
    kept = set(range(len(first)))
    for one in found[1:]:
        places = matched(first, one.ids or ())
        _log.info(f"{len(places):,} stimuli are common to {found[0]} ({len(first):,}) and {one} ({one.rows:,}).")
        kept &= set(places)
    return [first[i] for i in sorted(kept)]


def _enough(shown: Stimuli, folds: int, who: str) -> Stimuli:
    if len(shown) < _LEAST * folds:
        raise UserError(
            f"{who} have {len(shown)} stimuli in common, and {folds} folds of at least {_LEAST} need "
            f"{_LEAST * folds}: check the ids, or ask for fewer folds (metric.folds)."
        )
    return shown
