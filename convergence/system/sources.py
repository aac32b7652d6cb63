"""What a Python file imports and defines, read without running it."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path


def sha256(path: Path) -> str:
    """Of the file, and of the modules of its folder that it imports, or that these import."""
    sha = hashlib.sha256()
    for file in _with_siblings(path):
        sha.update(f"{file.relative_to(path.parent)}\n".encode() if file != path else b"\n")
        sha.update(file.read_bytes())
    return sha.hexdigest()


def _with_siblings(path: Path) -> list[Path]:
    """The file, and the modules of its folder that it imports, or that these import."""
    found, left = [path], [path]
    while left:
        for name in _imported(left.pop()):
            module, package = path.parent / f"{name}.py", path.parent / name
            more = [module] if module.is_file() else sorted(package.rglob("*.py")) if package.is_dir() else []
            new = [file for file in more if file not in found]
            found += new
            left += new
    return [path, *sorted(found[1:])]


def _imported(path: Path) -> set[str]:
    """First names of what a file imports."""
    tree = tree_of(path)
    names: set[str] = set()
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.module:
                names.add(node.module.split(".")[0])
            else:
                names |= {alias.name for alias in node.names}
    return names


def tree_of(path: Path) -> ast.Module | None:
    """None where it is no Python."""
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return None


def defined(path: Path) -> list[str]:
    """Public functions and classes of a file, in its order."""
    tree = tree_of(path)
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [n.name for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_")] if tree else []
