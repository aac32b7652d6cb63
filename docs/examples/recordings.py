"""Simulated recordings of a real network are found again: the right layer, and the score that they had without noise.

Three layers of a trained network stand in for three areas of an animal. Half of their units are "recorded", ten times,
under noise. Then this network and one that was trained independently are compared with the recording.

    python docs/examples/recordings.py                 two small ResNets, trained here in a minute or two
    python docs/examples/recordings.py model=… …       options of `convergence run`: your networks and images
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from convergence import run
from convergence.activations.extract import extract
from convergence.activations.loading import Loader
from convergence.experiment.compose import compose
from convergence.models.load import trajectories
from convergence.stimuli.load import load
from convergence.system.device import resolve_device

NETWORKS = ["model=tiny_resnet", "model.seeds.init=[0,1]", "model.training.epochs=5", "dataset.stimuli=1000"]
REPEATS = 10
NOISE = 2.0  # standard deviation of a single repeat's noise, in units of the signal's


def main(overrides: Sequence[str] = (), place: Path = Path("outputs/recordings")) -> pd.DataFrame:
    """For each area and network: the layer found, and its scores from noiseless and noisy responses."""
    options = [*NETWORKS, *overrides, f"output={place}"]
    true = simulate(options, place)
    found = {}
    for name in ("noiseless", "noisy"):
        against = ["model@against=arrays", f"against.files=[{place / name}.npz]", "axis.untrained=false"]
        found[name] = best(run(compose([*options, *against, "metric=linear"])))
    table = found["noisy"].join(found["noiseless"].add_suffix("_noiseless"))
    table.insert(0, "true", [true[area] for _, area in table.index])
    return table[["true", "layer", "score_noiseless", "score", "corrected", "reliability"]]


def simulate(options: Sequence[str], place: Path) -> dict[str, str]:
    """Write ``noiseless.npz`` and ``noisy.npz``, recordings of the first network; its layer by area."""
    cfg = compose(options)
    device, cache = resolve_device(cfg.device), Path(cfg.cache)
    network = trajectories(cfg.model, cfg.dataset, folder=cache / "networks", device=device)[0][-1]
    images = load(cfg.dataset, "test")
    answers = extract(network, Loader(network.preprocess, images, cache, cfg.batch_size, cfg.workers, device))
    names = list(network.layers)
    areas = {area: names[i] for area, i in (("V1", 0), ("V4", len(names) // 2), ("IT", -2))}
    rng = np.random.default_rng(0)
    order = rng.permutation(len(images))  # the animal saw the images in an order of its own
    clean, noisy = {}, {}
    for area, layer in areas.items():
        responses = answers.read([layer], 0, len(images))[layer].numpy().astype(float)
        units = rng.permutation(responses.shape[1])[: responses.shape[1] // 2]
        signal = responses[order][:, units]
        spread = NOISE * signal.std(axis=0)
        clean[area] = signal
        noisy[area] = signal + spread * rng.standard_normal((REPEATS, *signal.shape))
    ids = np.array(images.ids)[order]
    place.mkdir(parents=True, exist_ok=True)
    np.savez(place / "noiseless.npz", stimulus_ids=ids, **clean)
    np.savez(place / "noisy.npz", stimulus_ids=ids, **noisy)
    return areas


def best(rows: pd.DataFrame) -> pd.DataFrame:
    """The layer with the highest score, by network and area."""
    to_area = rows[rows.target_model == "recorded"]
    columns = ["source_weights", "target_layer", "source_layer"]
    means = to_area.groupby(columns, sort=False)[["score", "score_corrected", "target_reliability"]].mean()
    top = means.loc[means.groupby(columns[:2], sort=False).score.idxmax()]
    top.columns = ["score", "corrected", "reliability"]
    return top.reset_index("source_layer").rename(columns={"source_layer": "layer"}).rename_axis(["network", "area"])


if __name__ == "__main__":
    with pd.option_context("display.width", 110, "display.max_columns", 10):
        print(main(sys.argv[1:]).round(3))
