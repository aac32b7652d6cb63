"""Makes ``import torchvision`` work where its compiled operators cannot load beside the installed torch.

A torchvision built for another torch (a CUDA build beside a CPU torch, say) fails at import with "operator
torchvision::nms does not exist": two of its schemas are registered for tracing without a guard. Declaring these two
lets the rest, which is plain Python, be imported. On a healthy install a second declaration would abort the process,
so it is made only where the compiled library really does not load.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import torch

_SCHEMAS = ("nms", "qnms")


@functools.cache
def ensure() -> object | None:
    """Call before the first import of torchvision or timm, in every process. The result keeps the library alive."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
            return None
        except OSError:
            continue
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for name in _SCHEMAS:
        fragment.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return fragment
