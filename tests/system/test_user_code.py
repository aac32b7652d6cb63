"""Code of the user's own: found where it was meant, run once, told by its content, and blamed by its line."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from convergence.system import user_code
from convergence.system.errors import UserError


@pytest.fixture(autouse=True)
def _unchanged_path() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before


CALLING = "import torch\n\ndef net():\n    return torch.nn.Linear(2, 2)(torch.zeros(1, 3))\n"


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return folder


def test_a_file_of_the_working_directory_and_of_home_is_found(tmp_path, monkeypatch):
    write(tmp_path / "work", nets="def net(): return 'work'")
    write(tmp_path / "home", nets="def net(): return 'home'")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert user_code.load("nets.py:net", "model.factory")() == "work"
    assert user_code.load("~/nets.py:net", "model.factory")() == "home"


def test_code_imports_torchvision_as_the_program_does(tmp_path):
    write(tmp_path, nets="from torchvision import transforms\ndef net(): return transforms.ToTensor.__name__")
    assert user_code.load(f"{tmp_path}/nets.py:net", "model.factory")() == "ToTensor"


def test_a_relative_path_means_the_directory_where_the_command_was_typed(tmp_path, monkeypatch):
    write(tmp_path / "typed", nets="def net(): return 'typed'")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "typed")
    with user_code.typed_here():
        os.chdir(tmp_path / "elsewhere")  # a launcher's worker
        assert user_code.load("nets.py:net", "model.factory")() == "typed"
    with pytest.raises(UserError, match="elsewhere"):
        user_code.load("nets.py:net", "model.factory")


@pytest.mark.parametrize("folder", ["with space", "a=b", "(odd)[1]", "Übung", "a:b"])
def test_any_folder_name_is_a_place(tmp_path, folder):
    write(tmp_path / folder, nets="class Nets:\n    class Small: pass")
    found = user_code.load(f"{tmp_path / folder}/nets.py:Nets.Small", "model.factory")
    assert found.__name__ == "Small"


def test_a_file_is_run_once_until_it_changes(tmp_path):
    spec = f"{write(tmp_path, nets='class Net: width = 1')}/nets.py:Net"
    first = user_code.load(spec, "model.factory")
    assert user_code.load(spec, "model.factory") is first
    write(tmp_path, nets="class Net: width = 2")
    assert user_code.load(spec, "model.factory").width == 2


def test_siblings_are_imported_each_from_its_own_folder(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name, parts=f"WIDTH = '{name}'", nets="import parts\ndef net(): return parts.WIDTH")
    found = [user_code.load(f"{tmp_path / name}/nets.py:net", "model.factory") for name in ("one", "two")]
    assert [net() for net in found] == ["one", "two"]


def test_a_file_of_a_package_imports_relatively(tmp_path):
    folder = tmp_path / "my_lab_package" / "nets"
    write(folder, __init__="", parts="WIDTH = 3", wide="from .parts import WIDTH\ndef net(): return WIDTH")
    write(folder.parent, __init__="")
    assert user_code.load(f"{folder}/wide.py:net", "model.factory")() == 3


def test_modules_are_found_by_their_dotted_name(tmp_path, monkeypatch):
    write(tmp_path / "lab_of_mine", __init__="", nets="def net(): return 7")
    monkeypatch.chdir(tmp_path)
    assert user_code.load("lab_of_mine.nets:net", "model.factory")() == 7
    assert user_code.load("torch.nn:Linear", "model.factory").__name__ == "Linear"


def test_an_error_in_an_installed_module_is_told_by_the_line_of_the_users_file_that_calls_it(tmp_path):
    user_code.load("torch.nn:Linear", "model.factory")  # named, it counts as a user's
    net = user_code.load(f"{write(tmp_path, nets=CALLING)}/nets.py:net", "model.factory")
    with pytest.raises(RuntimeError) as caught:
        net()
    assert user_code.reason(caught.value).startswith("nets.py:4: RuntimeError: ")


def test_a_module_of_a_dotted_name_is_imported_anew_when_it_or_what_lies_beside_it_changes(tmp_path, monkeypatch):
    folder = tmp_path / "lab_that_changes"
    write(folder, __init__="", parts="WIDTH = 7", nets="from .parts import WIDTH\ndef net(): return WIDTH")
    monkeypatch.chdir(tmp_path)
    first = user_code.load("lab_that_changes.nets:net", "model.factory")
    assert user_code.load("lab_that_changes.nets:net", "model.factory") is first
    write(folder, parts="WIDTH = 7 + 70")
    assert user_code.load("lab_that_changes.nets:net", "model.factory")() == 77
    write(folder, nets="def net(): return 'other'")
    assert user_code.load("lab_that_changes.nets:net", "model.factory")() == "other"


def test_the_fingerprint_follows_the_source_and_what_it_imports_from_its_folder(tmp_path):
    def mark(folder: str, nets: str, parts: str, other: str = "") -> str:
        write(tmp_path / folder, nets=nets, parts=parts, other=other)
        return user_code.fingerprint(f"{tmp_path / folder}/nets.py:net")

    source = "import parts\ndef net(): return parts.WIDTH"
    first = mark("a", source, "WIDTH = 1")
    assert mark("b", source, "WIDTH = 1", other="unused = 1") == first
    assert mark("b", source, "WIDTH = 2") != first
    assert mark("b", source + "\n", "WIDTH = 1") != first


def test_values_are_identified_by_the_code_that_they_name(tmp_path):
    def named(folder: str, text: str) -> object:
        return user_code.identified(
            {"factory": f"{write(tmp_path / folder, nets=text)}/nets.py:net", "layers": ["a:b"]}
        )

    first = named("a", "def net(): return 1")
    assert named("b", "def net(): return 1") == first != named("b", "def net(): return 2")
    assert first["layers"] == ["a:b"]


WRONG = {
    "nets.py": r"model.factory=nets.py does not name code: write FILE.py:NAME .*; the file defines resnet20, Broken\.",
    "gone.py:net": r"there is no file .*gone.py; its folder has bad.py, nets.py, raises.py\.",
    "nets.py:resnet2": r"nets.py has no resnet2; it has resnet20\.",
    "nets.py:Broken.inner": r"nets.py:Broken has no inner; it has outer\.",
    "raises.py:net": r"raises.py cannot be run \(raises.py:4: ValueError: the width is odd\)\.",
    "bad.py:net": r"bad.py cannot be run \(bad.py:2: SyntaxError: .*\)\.",
    "no_such_package.nets:net": r"there is no Python module no_such_package.nets here",
    "not code:at all!": r"does not name code",
}


@pytest.mark.parametrize("spec", WRONG)
def test_what_cannot_be_loaded_is_said_in_one_sentence(tmp_path, monkeypatch, spec):
    write(
        tmp_path,
        nets="import math\ndef resnet20(): ...\nclass Broken:\n    outer = 1",
        raises="def width():\n    import math\n    math.sqrt(4)\n    raise ValueError('the width is odd')\nwidth()",
        bad="def net():\n    return (",
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=WRONG[spec]) as caught:
        user_code.load(spec, "model.factory")
    assert "\n" not in str(caught.value)
