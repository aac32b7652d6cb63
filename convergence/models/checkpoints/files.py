"""What lies in a checkpoint file, or in a folder of Hugging Face's; and what a file is that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from convergence.models.checkpoints.safe import unpickle
from convergence.system.errors import UserError

_FOLDER = ("model.safetensors", "pytorch_model.bin", "diffusion_pytorch_model.safetensors", "pytorch_model.pt")
_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_AGAIN = "get the file again"


def read(path: Path) -> Any:
    """The content of a checkpoint: usually mappings of mappings, with tensors at their ends.

    Raises
    ------
    UserError
        If there is no such file, it is no checkpoint (and what it seems to be), is cut short, or holds foreign types.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise UserError(f"model.checkpoints: {path} does not exist.")
    if path.name.endswith(".index.json"):
        return _sharded(path)
    with open(path, "rb") as handle:
        head = handle.read(512)
    other = _no_checkpoint(head)
    if other:
        raise UserError(f"{path} is no checkpoint: {other}.")
    try:
        if path.suffix == ".safetensors" or _is_safetensors(head, path.stat().st_size):
            return load_file(path)
        return unpickle(path)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(_broken(path, head, error)) from None


def _folder(path: Path) -> Any:
    index = next((path / name for name in _INDICES if (path / name).is_file()), None)
    if index is not None:
        return _sharded(index)
    found = next((path / name for name in _FOLDER if (path / name).is_file()), None)
    if found is None:
        alone = [p for p in sorted(path.iterdir()) if p.suffix in (".safetensors", ".bin", ".pth", ".pt", ".ckpt")]
        if len(alone) != 1:
            there = ", ".join(p.name for p in sorted(path.iterdir())[:5]) or "nothing"
            raise UserError(f"{path} is a folder without {' or '.join(_FOLDER[:2])} (it has {there}): name a file.")
        found = alone[0]
    return read(found)


def _sharded(index: Path) -> Any:
    """All parts that an index names, which lie beside it."""
    try:
        parts = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UserError(f"{index} is no index of weights: {_AGAIN}.") from None
    whole: dict[str, Any] = {}
    for part in parts:
        whole |= read(index.parent / Path(part).name)
    return whole


def _no_checkpoint(head: bytes) -> str | None:
    """What a file is that people take for a checkpoint by mistake."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return f"it is empty; {_AGAIN}"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "it is an HTML page, as a link or a login page gives it; download the file itself"
    if text.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS; run `git lfs pull` where it was cloned"
    if head.startswith(b"\x1f\x8b") or head.startswith((b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")):
        return "it is compressed; unpack it first"
    if head[257:262] == b"ustar":
        return "it is an archive (tar); unpack it first"
    if head.startswith(b"\x89HDF"):
        return "it is an HDF5 file, as of Keras; convert it to a state_dict of PyTorch"
    if head.startswith((b"\x93NUMPY", b"\x08\x00\x12")):
        return "it is a file of another library; convert it to a state_dict of PyTorch"
    if text.startswith((b"{", b"[")) and b"\x00" not in head:
        return "it is a text (JSON); name the file with the weights"
    return None


def _is_safetensors(head: bytes, size: int) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size


def _broken(path: Path, head: bytes, error: Exception) -> str:
    reason = " ".join(str(error).split())[:160]
    if "constants.pkl" in reason or "TorchScript" in reason or "torch.jit" in reason:
        return f"{path} is a TorchScript archive: save the state_dict() of the network that it was made from."
    cut = ("central directory", "unexpected EOF", "Ran out of input", "incomplete", "IncompleteMetadata", "TooLarge")
    if isinstance(error, EOFError) or any(sign in reason for sign in (*cut, "HeaderTooSmall", "corrupted")):
        return f"{path} is cut short or damaged ({path.stat().st_size:,} bytes): {_AGAIN}."
    if isinstance(error, SafetensorError):
        return f"{path} is no whole safetensors file ({reason}): {_AGAIN}."
    if head.isascii() and head.decode().isprintable():
        return f"{path} is no checkpoint: it begins with the text '{head[:40].decode().strip()}'."
    return f"{path} cannot be read as a checkpoint ({type(error).__name__}: {reason})."
