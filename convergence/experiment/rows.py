"""The rows of one comparison: its responses scored, in the columns of the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from convergence.activations.cache import Joined
from convergence.alignment.chance import null as nulls
from convergence.alignment.score import rounds_of, score, transfer
from convergence.axes.comparison import Comparison, labels
from convergence.axes.options import OodConfig, Protocol
from convergence.experiment.config import Config
from convergence.experiment.folder import dataset_of, metrics_of
from convergence.experiment.representations import Representations
from convergence.models.network import Network
from convergence.results.sides import source_and_target
from convergence.system import budget
from convergence.system.progress import progress


def protocols_of(cfg: Config, comparison: Comparison) -> list[Protocol]:
    """How maps of a comparison are scored out of distribution, in one order however they were named; none within."""
    if not isinstance(cfg.axis, OodConfig) or not comparison.conditions:
        return []
    return [protocol for protocol in Protocol if protocol in cfg.axis.protocols]


def rows_of(
    cfg: Config, comparison: Comparison, representations: Representations, device: torch.device
) -> pd.DataFrame:
    """All rows of the comparison: within distribution, or of each condition by each protocol."""
    protocols, metrics, null = protocols_of(cfg, comparison), metrics_of(cfg), nulls.of(cfg.null)
    rounds, once = rounds_of(metrics, null), rounds_of(metrics, None)
    passes = sum(rounds * len(comparison.conditions) if p is Protocol.refit else once for p in protocols) or rounds
    within = representations.of(comparison, comparison.stimuli)
    others = [representations.of(comparison, condition.stimuli) for condition in comparison.conditions]
    parts: list[pd.DataFrame] = []
    known: list[list[pd.DataFrame]] = []
    with progress("Scoring", passes * len(comparison.pairs) * cfg.metric.folds, "layer pairs × folds") as advance:
        options: dict[str, Any] = {
            "metrics": metrics,
            "folds": cfg.metric.folds,
            "seed": cfg.metric.seed,
            "device": device,
            "memory_gb": budget.counted(cfg.memory_gb, device),
            "advance": advance,
        }
        if not comparison.conditions:
            table = score(*within, comparison.pairs, null=null, **options)
            parts.append(source_and_target(table, *_known(comparison, within)).assign(condition="wd"))
        for protocol in protocols:
            if protocol is Protocol.refit:
                tables = [score(*other, comparison.pairs, null=null, **options) for other in others]
            else:
                tables = transfer(*within, others, comparison.pairs, **options)
            # Once they are read, and not before: the accuracy of what is computed when it is read is known then.
            known = known or [_known(comparison, other) for other in others]
            for condition, layers, table in zip(comparison.conditions, known, tables, strict=True):
                about = {"condition": condition.name, "level": condition.level, "protocol": protocol.value}
                parts.append(source_and_target(table, *layers).assign(**about))
    if any(part.empty for part in parts) or len(parts) != (len(protocols) * len(comparison.conditions) or 1):
        raise AssertionError(f"{comparison}: the plan has rows that were not scored")  # a bug of ours, never a user's
    return pd.concat(parts, ignore_index=True).assign(axis=cfg.axis.name, dataset=dataset_of(cfg))


def _known(comparison: Comparison, responses: tuple[Joined, Joined]) -> list[pd.DataFrame]:
    """What the results say of both sides' layers."""
    return [_layers(side, joined) for side, joined in zip((comparison.x, comparison.y), responses, strict=True)]


def _layers(networks: Sequence[Network], responses: Joined) -> pd.DataFrame:
    """What the results say of each layer, by its label."""
    rows = {}
    for label, (i, layer) in labels(networks).items():
        network, repeated = networks[i], getattr(responses.parts[i], "reliability", {})
        rows[label] = {
            "layer": layer,
            "depth": network.depths[layer],
            "model": network.model,
            "weights": network.weights,
            "seed": network.seed,
            "step": network.step,
            "epoch": network.epoch,
            "accuracy": responses.parts[i].accuracy,
            "reliability": float(repeated[layer].nanmean()) if layer in repeated else float("nan"),
        }
    return pd.DataFrame.from_dict(rows, orient="index").astype({"seed": "Int64", "step": "Int64"})
