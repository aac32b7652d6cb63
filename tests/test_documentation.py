"""README and pages: every command is one that the program takes, links lead somewhere, and the README stays short."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from convergence.commands.main import parser
from convergence.commands.words import choices, for_hydra, split
from convergence.experiment.compose import compose

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)]
FENCE = re.compile(r"(?P<before>[^\n]*\n)?^```(?P<language>\S*)\n(?P<text>.*?)^```", re.M | re.S)
# A block whose commands can't be tried says why, in a comment on the line above it.
NOT_TRIED = re.compile(r"<!-- not tried: .{10,} -->")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#\s]+)(#[^)]*)?\)")
OF_HYDRA = {"run": 1, "train": 1, "figure shifts": 2}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Page and line, and the words of each command of a shell block, without ``convergence`` itself."""
    for page in PAGES:
        text = page.read_text()
        for block in FENCE.finditer(text):
            if block["language"] not in ("bash", "sh", "") or NOT_TRIED.search(block["before"] or ""):
                continue
            for line in block["text"].replace("\\\n", " ").splitlines():
                command = re.sub(r"^python -m convergence\b", "convergence", line.strip())
                if re.match(r"convergence\b", command):
                    yield f"{page.relative_to(ROOT)}: {command}", shlex.split(command, comments=True)[1:]


COMMANDS = dict(commands())
ONCE = {tuple(words): name for name, words in COMMANDS.items()}  # some stand on several pages


def test_there_are_commands_on_the_pages_that_users_read_first() -> None:
    for page in ("README.md", "docs/start.md", "docs/reference.md", "docs/howto/own_network.md"):
        assert [name for name in COMMANDS if name.startswith(page)], page


@pytest.mark.parametrize("words", map(list, ONCE), ids=ONCE.values())
def test_every_command_on_a_page_is_one_that_the_program_takes(words: list[str]) -> None:
    name = next((n for n in OF_HYDRA if words[: len(n.split())] == n.split()), None)
    if name is None:
        assert parser().parse_args(words).call
        return
    rest = [word for word in words[OF_HYDRA[name] :] if word != "--dry-run"]
    flags, _ = split(rest)
    if {"--help", "--cfg"} & set(flags):
        return
    jobs = choices(rest) if {"-m", "--multirun"} & set(flags) else [for_hydra(rest)[1]]
    for job in jobs:
        assert compose([word for word in job if not word.startswith("-")]).model.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    without_code = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    targets = [link["target"] for link in LINK.finditer(without_code)]
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


def test_the_readme_fits_on_two_screens_and_names_the_paper() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    for part in ("Bridging Critical Gaps in Convergent Learning", "Kapoor", "Srivastava", "Khosla", "2502.18710"):
        assert part in " ".join(text.replace("> ", "").split())


def test_no_text_tells_anyone_to_install_another_project() -> None:
    files = [*PAGES, *(ROOT / "convergence").rglob("*.py"), *(ROOT / "conf").rglob("*.yaml"), ROOT / "CONTRIBUTING.md"]
    wrong = re.compile(r"pip install (-\S+ )*[\"']?convergence\b")
    assert [str(f) for f in files if wrong.search(f.read_text())] == []
