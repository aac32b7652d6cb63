"""Hashes of tensors: what names weights, and what tells a file that is whole from one that was damaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors with their names, shapes and types, whatever their order and device."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        if tensor.numel():
            sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def digest(*parts: Any) -> str:
    """SHA-256 of the parts as JSON: equal for equal parts on every machine."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
