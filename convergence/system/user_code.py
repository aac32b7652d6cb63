"""Code of the user's own, named ``FILE.py:NAME`` or ``package.module:NAME``.

Nothing else that a config says is ever executed. A relative path is read from the directory where the command was
typed, on the worker of a cluster too.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from convergence.system import sources
from convergence.system.errors import UserError
from convergence.system.process import variable

TYPED_IN = "CONVERGENCE_TYPED_IN"  # environment: where the command was typed, for processes that work elsewhere
FAILURES = (Exception, SystemExit)  # how a user's code may end: argparse in it leaves the program
_SIGNALS = "submitit."  # whose handlers end the program at a cluster's signal, wherever it is
_SPEC = re.compile(r"(?P<place>.+):(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)", re.DOTALL)
_INSTALLED = tuple(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib"))
_loaded: dict[str, tuple[str, ModuleType]] = {}  # by place: the fingerprint that it was loaded with
_roots: list[Path] = []  # folders that hold users' code


@contextmanager
def typed_here() -> Iterator[None]:
    """Within it, relative paths mean the directory that the process is in now, for its workers too."""
    with variable(TYPED_IN, os.getcwd()):
        yield


def absolute(path: str | Path) -> Path:
    """The path from the directory where the command was typed; ``~`` is the home folder."""
    return Path(os.path.abspath(Path(os.environ.get(TYPED_IN) or os.getcwd()) / Path(path).expanduser()))


def is_spec(value: object) -> bool:
    """Whether a value of a config names code in a file (``FILE.py:NAME``)."""
    match = _SPEC.fullmatch(value) if isinstance(value, str) else None
    return match is not None and match["place"].endswith(".py")


def identified(value: Any) -> Any:
    """A config's value with the code that it names told by its content, so that a changed file is another value."""
    if isinstance(value, dict):
        return {key: identified(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [identified(inner) for inner in value]
    if is_spec(value):
        place, name = _parts(value, "")
        if absolute(place).is_file():
            return f"{Path(place).name}:{name}#{fingerprint(value)}"
    return value


def load(spec: str, what: str) -> Any:
    """The object that ``spec`` names: a function, a class, an attribute of one.

    A file is run once in a process, until it changes; it can import the modules beside it.

    Parameters
    ----------
    what : the option that holds the spec, for messages ("model.factory").

    Raises
    ------
    UserError
        If there is no such file, module or name, or the user's code raises; with the user's line.
    """
    place, name = _parts(spec, what)
    module = _module(place, spec, what)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, _public(found), n=3, cutoff=0.6) or _public(found)[:5]
            hint = f"it has {', '.join(near)}" if near else "it defines nothing"
            inside = place if found is module else f"{place}:{found.__name__}"
            raise UserError(f"{what}={spec}: {inside} has no {part}; {hint}.")
        found = getattr(found, part)
    return found


def fingerprint(spec: str) -> str:
    """SHA-256 of the source that ``spec`` names and of the modules that it imports from its folder, wherever that lies.

    Raises
    ------
    UserError
        If there is no such file or module.
    """
    place, _ = _parts(spec, "code")
    return sources.sha256(_source(place, spec, "code"))


def heed_signals(error: BaseException) -> None:
    """Raise it again if it is no failure of the user's code, but a cluster's signal that came while that ran."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith(_SIGNALS):
        raise error


@contextmanager
def telling(sentence: Callable[[str], str], passing: tuple[type[UserError], ...] = ()) -> Iterator[None]:
    """The user's code runs within. What it raises becomes a UserError, in a sentence with the reason in it.

    ``passing`` : what is raised as it is, where code of ours runs within, too.
    """
    try:
        yield
    except passing:
        raise
    except FAILURES as error:
        heed_signals(error)
        raise UserError(sentence(reason(error))) from error


def reason(error: BaseException) -> str:
    """What the user's code raised and where, for a sentence: ``nets.py:12: ValueError: bad width``."""
    message = " ".join(str(error).split())
    text = f"{type(error).__name__}: {message[:300]}" if message else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename and _is_users(Path(error.filename)):
        return f"{Path(error.filename).name}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_users(Path(f.filename))]
    # What was named in an installed package is a user's as well, but where their own file calls it, that counts.
    frames = [f for f in frames if not _installed_in(Path(f.filename))] or frames
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: {text}" if frames else text


def _parts(spec: str, what: str) -> tuple[str, str]:
    match = _SPEC.fullmatch(str(spec).strip())
    if match is None or not (match["place"].endswith(".py") or _is_dotted(match["place"])):
        more = ""
        if str(spec).strip().endswith(".py") and absolute(str(spec).strip()).is_file():
            names = sources.defined(absolute(str(spec).strip()))
            more = f"; the file defines {', '.join(names[:6])}" if names else ""
        raise UserError(f"{what}={spec} does not name code: write FILE.py:NAME or package.module:NAME{more}.")
    return match["place"], match["name"]


def _is_dotted(place: str) -> bool:
    return all(part.isidentifier() for part in place.split("."))


def _source(place: str, spec: str, what: str) -> Path:
    """The file of the code."""
    if place.endswith(".py"):
        path = absolute(place)
        if not path.is_file():
            there = sorted(p.name for p in path.parent.glob("*.py"))[:5] if path.parent.is_dir() else []
            hint = f"its folder has {', '.join(there)}" if there else f"{path.parent} holds no Python file"
            raise UserError(f"{what}={spec}: there is no file {path}; {hint}.")
        return path
    try:
        if (here := str(absolute("."))) not in sys.path:
            sys.path.append(here)  # behind all others: installed modules go first
        found = importlib.util.find_spec(place)
    except ModuleNotFoundError:
        found = None
    except Exception as error:
        raise UserError(f"{what}={spec}: {place} cannot be imported ({reason(error)}).") from error
    if found is None or not found.origin or not found.origin.endswith(".py"):
        raise UserError(f"{what}={spec}: there is no Python module {place} here: install it, or name its file.")
    return Path(found.origin)


def _module(place: str, spec: str, what: str) -> ModuleType:
    path = _source(place, spec, what)
    key, version = str(path.resolve()), sources.sha256(path)
    if key in _loaded and _loaded[key][0] == version:
        return _loaded[key][1]
    if path.parent not in _roots:
        _roots.append(path.parent)
    from convergence.system import torchvision_ops  # loads torch, which reading a spec does without

    torchvision_ops.ensure()  # most users' code imports torchvision
    with telling(lambda why: f"{what}={spec}: {path.name} cannot be run ({why}).", (UserError,)):
        again = key in _loaded
        module = _run(path, again) if place.endswith(".py") else _by_name(place, path, again)
    _loaded[key] = (version, module)
    return module


def _by_name(name: str, path: Path, again: bool) -> ModuleType:
    """A module by its dotted name, anew with what lies beside it if it has changed."""
    if again and _is_users(path):
        _forget_others(path.parent, again)
        importlib.invalidate_caches()
    return importlib.import_module(name)


def _run(path: Path, again: bool) -> ModuleType:
    """Execute a file as a module; its folder is on the path, so that it can import what lies beside it."""
    package, root = _package(path)
    _forget_others(path.parent, again)
    _first_on_path(path.parent)
    if package:  # it has relative imports
        _first_on_path(root)
        return importlib.import_module(f"{package}.{path.stem}")
    name = f"convergence_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        # Compiled here: the cache of compiled files takes two versions of one second for the same.
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _package(path: Path) -> tuple[str, Path]:
    """The package of a file with relative imports, and the folder that it lies in; ("", …) for any other file."""
    tree = sources.tree_of(path)
    relative = tree is not None and any(isinstance(n, ast.ImportFrom) and n.level > 0 for n in ast.walk(tree))
    parts: list[str] = []
    folder = path.parent
    while relative and (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if relative and not parts:
        parts, folder = [path.parent.name], path.parent.parent
    return ".".join(parts), folder


def _forget_others(folder: Path, again: bool) -> None:
    """Drop modules of another user's folder that have a namesake in this one, and this one's own if it has changed."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name.startswith("convergence"):
            continue
        place = Path(file).parent
        top = name.split(".")[0]
        here = (folder / f"{top}.py").is_file() or (folder / top).is_dir()
        if here and place != folder and any(place.is_relative_to(root) for root in _roots if root != folder):
            if not place.is_relative_to(folder):
                del sys.modules[name]
        elif again and _is_users(Path(file)) and place.is_relative_to(folder):
            del sys.modules[name]


def _first_on_path(folder: Path) -> None:
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))


def _public(found: Any) -> list[str]:
    """Names that a module or a class defines, its own before those that it has imported."""
    names = [name for name in vars(found) if not name.startswith("_")] if hasattr(found, "__dict__") else []
    own = [n for n in names if getattr(getattr(found, n), "__module__", None) == getattr(found, "__name__", "")]
    return own or names


def _is_users(file: Path) -> bool:
    root, installed = next((root for root in _roots if file.is_relative_to(root)), None), _installed_in(file)
    return root is not None and (not installed or any(root.is_relative_to(place) for place in installed))


def _installed_in(file: Path) -> list[Path]:
    return [place for place in _INSTALLED if file.is_relative_to(place)]
