"""Two areas of an animal, one of them with repeats, and a file of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convergence.models.options import ArraysConfig
from convergence.models.recordings.recording import Recording, recordings

IDS = [f"im{i:02d}.png" for i in range(12)]
V4 = np.random.default_rng(0).standard_normal((12, 5))
IT = np.random.default_rng(1).standard_normal((3, 12, 4))
AREAS = {"V4": V4, "IT": IT}


def one(files: Any, **options: Any) -> Recording:
    (found,) = recordings(ArraysConfig(files=files, **options))
    return found


def npz(path: Path) -> None:
    np.savez(path, stimulus_ids=np.array(IDS), **AREAS)
