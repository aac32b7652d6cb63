"""``manifest.json``: what a run's numbers came from."""

from __future__ import annotations

import dataclasses
import platform
import resource
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from convergence.activations.loading import Clock
from convergence.axes.comparison import Comparison
from convergence.experiment.config import Config
from convergence.experiment.folder import plain


def manifest(
    cfg: Config, device: torch.device, comparisons: Sequence[Comparison], clock: Clock, started: float
) -> dict[str, Any]:
    """The resolved config, versions, device, stimuli and networks with their hashes, wall time and peak memory.

    Parameters
    ----------
    clock : of this run's extraction, as far as it was not done before.
    started : the run's begin, by ``time.monotonic``.
    """
    versions = {"python": platform.python_version()}
    for package in ("convergence", "torch", "torchvision", "timm", "numpy", "scipy", "pandas", "pyarrow", "POT"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    networks = {(n.model, n.weights_hash): n for c in comparisons for n in c.networks}
    images = {images.fingerprint: images for c in comparisons for images in c.all_stimuli}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "config": plain(cfg),
        "versions": versions,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})",
        "stimuli": [
            {"name": i.name, "count": len(i), "fingerprint": i.fingerprint, "skipped": i.skipped}
            for i in images.values()
        ],
        "networks": [
            {
                "model": n.model,
                "weights": n.weights,
                "weights_hash": n.weights_hash,
                "preprocess": n.preprocess.describe(),
                "units": n.units.value,
                "precision": n.precision.value,
                "layers": {name: dataclasses.asdict(layer) for name, layer in n.layers.items()},
            }
            for n in networks.values()
        ],
        "extraction": {"seconds": round(clock.total, 2), "waiting_for_images": round(clock.share, 3)},
        "wall_seconds": round(time.monotonic() - started, 2),
        "peak_memory_mib": round(peak / (1024 if sys.platform != "darwin" else 2**20)),
    }
