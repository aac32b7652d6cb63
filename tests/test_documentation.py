"""README and pages: every command is one that the program takes, links lead somewhere, and the README stays short."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from convergence import align
from convergence.alignment.metrics.catalogue import MEASURES
from convergence.commands.main import main, parser
from convergence.commands.words import choices, for_hydra, split
from convergence.experiment.compose import compose
from tests.support import synthetic

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


@pytest.mark.parametrize("words", list(map(list, ONCE)), ids=list(ONCE.values()))
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


QUICK = [words for words in ONCE if words[0] in ("list", "status", "cache", "figure", "report")]


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one small experiment has been run."""
    place = tmp_path_factory.mktemp("pages")
    small = ("dataset=digits", "dataset.stimuli=60", "dataset.train_images=128", "model.training.epochs=1")
    words = [*small, "model.layers=[conv1,fc]", "metric=procrustes", "progress=false", f"output={place / 'outputs'}"]
    assert main(["run", *words]) == 0
    return place


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_the_pages_commands_that_take_seconds_run(
    words: tuple[str, ...], worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that run networks are composed alone: other tests run their like."""
    if "shifts" in words or "/shared/study" in words:
        pytest.skip("draws every level of seventeen shifts, or asks for a cluster's disk")
    monkeypatch.chdir(worked)
    assert main(list(words)) == 0


def test_scripts_that_pages_call_are_there() -> None:
    called = {
        (page.name, path)
        for page in PAGES
        for block in FENCE.finditer(page.read_text())
        for path in re.findall(r"^(?:bash|python) (?!-)(\S+)", block["text"], re.M)
    }
    assert called
    assert [(page, path) for page, path in called if not (ROOT / path).is_file()] == []


def python_of(page: str) -> str:
    """The page's first block of Python."""
    return next(b["text"] for b in FENCE.finditer((ROOT / page).read_text()) if b["language"] == "python")


def test_the_notebook_of_the_readme_runs() -> None:
    torch.manual_seed(0)
    first, second = (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 3)) for _ in range(2))
    cells: dict[str, Any] = {"first": first, "second": second, "images": torch.rand(60, 3, 8, 8)}
    exec(python_of("README.md"), cells)
    table = cells["table"]
    assert set(table.layer_x) == {"0", "2"}
    assert {"shuffle", "rotation"} <= set(table["null"].dropna())
    assert table.score.between(-1, 1).all()


def test_the_measure_of_ones_own_on_its_page_is_scored() -> None:
    cells: dict[str, Any] = {}
    exec(python_of("docs/howto/own_metric.md"), cells)
    x = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    scores = align(x, x @ torch.diag(torch.tensor([1.0, 2, 3, 4])), metrics=[cells["score"]]).score
    assert scores.min() > 0.999


def test_the_metric_of_the_page_about_the_inside_is_scored_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    cells: dict[str, Any] = {}
    exec(python_of("docs/inside.md"), cells)
    monkeypatch.setitem(MEASURES, "cosine_kernel", cells["METRIC"])
    x, y = torch.randn(2, 60, 4, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1))).Q
    assert align(x, x @ turn, metrics=["cosine_kernel"]).score.min() > 0.999
    table = align(x, y, metrics=["cosine_kernel"], null="shuffle", draws=20)
    assert table.p_value.dropna().gt(0.05).all()


def test_the_notebook_runs_and_its_outputs_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    pages = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())["cells"]
    code = [cell for cell in pages if cell["cell_type"] == "code"]
    stored = {kind for cell in code for output in cell["outputs"] for kind in output.get("data", {})}
    assert {"image/png", "text/html"} <= stored
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    cells: dict[str, Any] = {}
    for cell in code:
        exec("".join(cell["source"]).replace("epochs=20", "epochs=5"), cells)  # for speed
    assert list(cells["scores"].index) == list(cells["x"])
    assert (cells["scores"].procrustes > cells["scores"].soft_matching - 0.05).all()
    assert cells["scores"].procrustes.iloc[-1] > cells["before"].procrustes.iloc[-1] + 0.05


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_results_are_read_as_the_page_says(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(library)
    text = (ROOT / "docs" / "howto" / "results.md").read_text()
    (block,) = [b["text"] for b in FENCE.finditer(text) if f"import {library}" in b["text"]]
    run = tmp_path / "outputs" / "depth" / "…"
    run.mkdir(parents=True)
    rows = synthetic.depth(lambda metric, a, b: 0.5, noise=0, slopes=0, seeds=2, layers=2)
    rows.to_parquet(run / "results.parquet")
    monkeypatch.chdir(tmp_path)
    *before, last = ast.parse(block).body
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    exec(compile(ast.Module(before, []), "page", "exec"), names)
    means = eval(compile(ast.Expression(last.value), "page", "eval"), names)
    scores = means["score"].to_list() if library == "polars" else means.to_list()
    assert scores == pytest.approx([0.5] * (4 if library == "polars" else 12))


def test_every_option_says_in_the_reference_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    options = pytest.importorskip("generated", reason="needs the extra docs").rows_by_group()
    assert "model.seeds.init" in {name for name, _, _ in options["model"]}
    assert {name for rows in options.values() for name, _, about in rows if not about} == set()


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
