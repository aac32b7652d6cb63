"""Other people's training runs: files found by a pattern."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.models import patterns
from convergence.system.errors import UserError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_files_are_sorted_by_number_within_each_seed(tmp_path: Path) -> None:
    touch(tmp_path, *(f"seed_{s}/epoch_{e}.pth" for s in (10, 2) for e in (10, 9, 0)), "seed_2/notes.txt")
    two, ten = patterns.runs([f"{tmp_path}/seed_{{seed}}/epoch_{{epoch}}.pth"])
    assert (two.name, two.seed, ten.seed) == ("seed2", 2, 10)
    assert [f.epoch for f in two.files] == [f.epoch for f in ten.files] == [0, 9, 10]


def test_steps_and_fractions_of_epochs_are_numbers_too(tmp_path: Path) -> None:
    touch(tmp_path, "a-0.5-100.pt", "a-2-400.pt", "a-0.05-10.pt")
    (run,) = patterns.runs([f"{tmp_path}/a-{{epoch}}-{{step}}.pt"])
    assert [(f.epoch, f.step) for f in run.files] == [(0.05, 10), (0.5, 100), (2, 400)]
    assert run.seed is None


def test_a_placeholder_that_stands_twice_means_the_same(tmp_path: Path) -> None:
    touch(tmp_path, "1/net1.pth", "1/net2.pth", "2/net2.pth")
    found = patterns.runs([f"{tmp_path}/{{seed}}/net{{seed}}.pth"])
    assert [run.seed for run in found] == [1, 2]


def test_signs_that_mean_something_to_a_shell_are_plain_ones(tmp_path: Path) -> None:
    touch(tmp_path, "[run] lr=0.1 (a+b)/seed0.pth")
    (run,) = patterns.runs([f"{tmp_path}/[run] lr=0.1 (a+b)/seed{{seed}}.pth"])
    assert run.files[0].path.is_file()


FILES = ["s10.pth", "s2.pth", "s1.pth", "notes.txt", "[a] b*.pth", "a b.pth", "b [1]/s3.pth", "b [1]/s3-x.pth"]
SHELL = {
    "*.pth": ["[a] b*.pth", "a b.pth", "s1.pth", "s2.pth", "s10.pth"],
    "s*.pth": ["s1.pth", "s2.pth", "s10.pth"],
    "s?.pth": ["s1.pth", "s2.pth"],
    "s[12].pth": ["s1.pth", "s2.pth"],
    "[a] b*.pth": ["[a] b*.pth"],  # a file of that very name
    "b [1]/s?.pth": ["b [1]/s3.pth"],  # brackets that are none of a shell's
    "b [1]/*": ["b [1]/s3-x.pth", "b [1]/s3.pth"],
    "s{seed}.pth": ["s1.pth", "s2.pth", "s10.pth"],
    "b*/s{seed}.pth": ["b [1]/s3.pth"],
    "b [1]/s{seed}-*.pth": ["b [1]/s3-x.pth"],
}


@pytest.mark.parametrize("given", SHELL)
@pytest.mark.parametrize("in_a_list", [False, True])
def test_shell_patterns_are_training_runs_by_their_numbers(given: str, in_a_list: bool, tmp_path: Path) -> None:
    touch(tmp_path, *FILES)
    pattern = f"{tmp_path}/{given}"
    found = patterns.runs(patterns.listed([pattern] if in_a_list else pattern))
    assert [run.files[0].path.relative_to(tmp_path).as_posix() for run in found] == SHELL[given]
    assert all(len(run.files) == 1 for run in found)


def test_one_path_and_a_list_are_both_taken() -> None:
    assert patterns.listed(None) == []
    assert patterns.listed("a.pth") == ["a.pth"]
    assert patterns.listed(["a.pth", "b.pth"]) == ["a.pth", "b.pth"]
    with pytest.raises(UserError, match="is neither a path nor a list of paths"):
        patterns.listed({"seed": 1})


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    assert [run.name for run in patterns.runs(["a/best.pth", "b/best.pth", "c/last.pth"])] == [
        "a/best.pth",
        "b/best.pth",
        "last.pth",
    ]


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("{sed}.pth", r"\{sed\} in .* is not known: the placeholders are \{seed\}, \{epoch\}, \{step\}"),
        ("x_{seed}.pth", r"no file looks like .*; the search began in .*: it holds 3_e01.ckpt, 3_e1.ckpt, y_1.pth"),
        ("nowhere/{seed}.pth", "no file looks like .*nowhere: it does not exist, or is empty"),
        ("x*.pth", r"no file looks like .*; the search began in .*: it holds 3_e01.ckpt, 3_e1.ckpt, y_1.pth"),
        ("nowhere/*.pth", "no file looks like .*nowhere: it does not exist, or is empty"),
        ("{seed}_e{epoch}.ckpt", "are of one seed and one point of training: remove one"),
    ],
)
def test_what_cannot_be_found_is_said(pattern: str, sentence: str, tmp_path: Path) -> None:
    touch(tmp_path, "y_1.pth", "3_e1.ckpt", "3_e01.ckpt")
    with pytest.raises(UserError, match=sentence):
        patterns.runs(patterns.listed([f"{tmp_path}/{pattern}"]))


def test_a_seed_given_twice_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a1.pth", "b1.pth")
    with pytest.raises(UserError, match="one seed or file twice"):
        patterns.runs([f"{tmp_path}/a{{seed}}.pth", f"{tmp_path}/b{{seed}}.pth"])
