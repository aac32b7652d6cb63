"""Pickled files without their code: tensors, containers and plain values are read, and nothing is executed.

Training scripts put much beside the weights. Types that are known to be harmless are read as empty stand-ins, so that
not even their own code runs; numpy's arrays and scalars are read as they are. Any other type is refused by its name.
"""

from __future__ import annotations

import collections
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convergence.system.errors import UserError


class Ignored:
    """Stands for an object that is not needed."""

    def __new__(cls, *args: Any, **options: Any) -> Ignored:
        return super().__new__(cls)

    def __init__(self, *args: Any, **options: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...


class AsMapping:
    """Stands for a type of dictionaries: they may hold weights. (torch takes no other types of them.)"""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        return collections.OrderedDict()


class AsList:
    """Stands for a type of lists."""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        return []


# Types of configs, records and optimisers, and what these hold, as far as people's files have them.
_HARMLESS = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|functools\.partial|enum\.\w+|uuid\.UUID|fractions\.Fraction"
    r"|decimal\.Decimal|re\._compile|zoneinfo\.\w+|typing\.\w+|collections\.(Counter|deque|ChainMap|UserDict)"
    r"|pathlib(\._local)?\.\w*Path|datetime\.\w+|copyreg\._reconstructor|_codecs\.encode"
    r"|(builtins|__builtin__)\.(object|slice|range|complex|frozenset|bytearray|type|int|float|str|bool|bytes)"
    r"|omegaconf\.\w+(\.\w+)?|hydra\.\w+(\.\w+)*|yacs\.config\.CfgNode|easydict\.EasyDict|addict\.addict\.Dict"
    r"|ml_collections\.\w+(\.\w+)*|munch\.\w*Munch|mmcv\.utils\.config\.\w+|mmengine\.(config|logging)\.[\w.]+"
    r"|torch\.optim\.\w+(\.\w+)*|torch\.nn\.modules\.(activation|loss|batchnorm|normalization)\.\w+"
    r"|torch\.utils\.data\.\w+(\.\w+)*|torchvision\.transforms\.[\w.]+|timm\.(optim|scheduler|loss|utils)\.[\w.]+"
    r"|(pytorch_lightning|lightning|lightning_fabric)\.[\w.]+|torchmetrics\.[\w.]+|pandas\._libs\.[\w.]+"
    r"|transformers\.(training_args|trainer_utils|configuration_utils|models\.\w+\.configuration_\w+)\.\w+"
)
# Read as they are: they may hold weights, or are keys of what does.
_KEPT: list[Any] = [
    collections.OrderedDict,
    (AsMapping, "collections.defaultdict"),
    dict,
    list,
    tuple,
    set,
    np.ndarray,
    np.dtype,
    *(kind for name, kind in vars(np.dtypes).items() if name.endswith("DType")),
    *((kind, f"__builtin__.{kind.__name__}") for kind in (dict, list, tuple, set)),
]
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _KEPT += [(np._core.multiarray._reconstruct, f"{_module}._reconstruct")]  # type: ignore[attr-defined]
    _KEPT += [(np._core.multiarray.scalar, f"{_module}.scalar")]  # type: ignore[attr-defined]
# Asked for one by one: a file that has none of them is read once.
_COMMON = ("argparse.Namespace", "pathlib.PosixPath", "pathlib.WindowsPath", "functools.partial", "datetime.datetime")
_NAMED = re.compile(r"(?:GLOBAL|class|function|type) ([A-Za-z_][\w.]*)")
_MOST = 64  # types that one file may ask for


def unpickle(path: Path) -> Any:
    """What ``torch.save`` wrote, with harmless extras as :class:`Ignored`.

    Raises
    ------
    UserError
        If it holds a type that is not known to be harmless: which one, and how to strip it.
    Exception
        Of torch's, if the file is broken.
    """
    ignored = set(_COMMON)
    for _ in range(_MOST):
        allowed = [*_KEPT, *((_stand_in(name), name) for name in sorted(ignored))]
        try:
            with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*TorchScript archive", UserWarning)  # refused here, in a sentence
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            name = _refused(error)
            if name is None:
                raise
            if name in ignored or _HARMLESS.fullmatch(name) is None:
                raise UserError(_stripping(path, name)) from None
            ignored.add(name)
    raise UserError(f"{path} holds more than {_MOST} types beside weights: save its state_dict() alone.")


def _stand_in(name: str) -> type:
    if name.endswith(("Dict", "dict", "CfgNode", "Munch")):
        return AsMapping
    return AsList if name.endswith("deque") else Ignored


def _refused(error: BaseException) -> str | None:
    """Full name of the type that torch refused, if that is why it stopped."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    if "nsupported" not in text and "disallowed" not in text and "not allowed" not in text:
        return None
    found = _NAMED.search(text)
    if found is None:
        return None
    name = found[1].rstrip(".")
    return name if "." in name else f"builtins.{name}"  # torch leaves that out


def _stripping(path: Path, name: str) -> str:
    short = path.name.replace("'", "")
    load = f"c = torch.load('{short}', map_location='cpu', weights_only=False)"
    kind = "a network of torch's, pickled whole," if name.startswith("torch.nn.") else f"an object of type {name},"
    return (
        f"{path} holds {kind} and is not loaded, since unpickling it could run code: where its class is at hand and "
        f'the file is trusted, run `{load}`, then torch.save(c.state_dict(), "weights.pth"), or, if c is a dictionary, '
        'torch.save(c["state_dict"], "weights.pth"), and give that file.'
    )
