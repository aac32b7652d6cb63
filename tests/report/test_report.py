"""The report as a user meets it: the command, the text, and the page as Chromium shows and prints it."""

from __future__ import annotations

import contextlib
import html
import io
import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from convergence import report
from convergence.commands.main import main
from convergence.report import words
from convergence.results import table as results
from tests.support import drafts, synthetic

chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
HOSTILE = "<script>alert(1)</script>_d|"


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command as typed in this folder, without a process of its own."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(list(words))
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def save(table: pd.DataFrame, folder: Path) -> None:
    folder.mkdir(parents=True)
    pq.write_table(results.conform(table), folder / "results.parquet")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs under outputs/: depth with the rotation null, and training."""
    place = tmp_path_factory.mktemp("report")
    falling = synthetic.depth(
        lambda metric, a, b: (
            {"linear": 0.9, "procrustes": 0.85, "soft_matching": 0.7}[metric] - 0.3 * (a + b) / 2 - abs(a - b) / 3
        ),
        null=0.1,
    )
    rising = synthetic.training((0.2, 0.4, 0.5, 0.58, 0.6), (0.1, 0.12, 0.2, 0.5, 0.9), seeds=2)
    save(falling.assign(run="aaaa"), place / "outputs" / "depth" / "net-d-aaaa")
    save(rising.assign(run="bbbb", dataset=HOSTILE), place / "outputs" / "training" / "net-d-bbbb")
    return place


@pytest.fixture(scope="module")
def done(place: Path) -> subprocess.CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as patch:
        drafts.only(patch, dpi=150)
        return command("report", cwd=place)


def page(place: Path) -> str:
    return (place / "outputs" / "report.html").read_text()


def test_without_a_folder_everything_under_outputs_is_tested(place: Path, done) -> None:
    assert done.returncode == 0, done.stderr
    written = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("report ")]
    assert written == [str(place / "outputs" / name) for name in ("report.md", "report.html")]
    table = done.stdout.split("report   ")[0]
    assert max(map(len, table.splitlines())) <= 80
    verdicts = re.findall(r"^\d  \S.*?  +(not supported|supported|cannot tell) ", table, flags=re.MULTILINE)
    # By name of the data set: training alone, flat in depth, with two networks; then depth alone.
    assert verdicts[:7] == ["not supported"] + ["cannot tell"] * 6
    assert verdicts[7:] == ["supported"] * 4 + ["cannot tell"] * 3
    assert "2 networks give no interval: run model.seeds.init=[0,1,2]" in table
    assert not list((place / "outputs").glob(".*.tmp"))


def test_markdown_has_each_claim_and_figures_that_are_there(place: Path, done) -> None:
    text = (place / "outputs" / "report.md").read_text()
    assert text.count("### ") == 2 * 7
    assert "<script>" not in text
    pictures = re.findall(r"!\[.+\]\(<(.+)>\)", text)
    assert len(pictures) == 6 + 2
    assert all((place / "outputs" / picture).is_file() for picture in pictures)
    rows = [line for line in text.splitlines() if line.startswith("| 1 ")]
    assert all(len(re.split(r"(?<!\\)\|", row)) == 7 + 2 for row in rows)


def test_text_markdown_and_page_say_the_same(place: Path, done) -> None:
    whole = " ".join(done.stdout.split())
    for effect in re.findall(r'<td class="wide">(−?\d[^<]*\])</td>', page(place)):
        assert effect in whole
        assert effect in (place / "outputs" / "report.md").read_text()


def test_the_page_holds_everything_itself_and_no_markup_of_the_users(place: Path, done) -> None:
    text = page(place)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert "url(" not in text
    assert "@import" not in text
    assert html.escape(HOSTILE) in text
    assert "<script" not in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert all(alt for alt in re.findall(r'<img [^>]*alt="([^"]*)"', text))
    levels = [int(level) for level in re.findall(r"<h(\d)", text)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_colours_have_contrast_by_day_and_by_night() -> None:
    style = (Path(report.__file__).parent / "templates" / "page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6});", block))
        on = [(ink, ground) for ink in ("text", "soft", "link") for ground in ("ground", "card")]
        on += [(kind, f"{kind}-ground") for kind in ("good", "bad", "open")]
        assert min(_contrast(colours[ink], colours[ground]) for ink, ground in on) >= 4.5  # WCAG 2.2, level AA


def _contrast(a: str, b: str) -> float:
    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


# ---------------------------------------------------------------- in Chromium

_MEASURE = """
const found = [];
for (const frame of document.querySelectorAll("iframe")) {
  const page = frame.contentDocument, root = page.documentElement, width = root.clientWidth;
  const shown = [...page.querySelectorAll("body *")].filter(e => e.getClientRects().length);
  const words = shown.filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  const over = e => e.getBoundingClientRect().right > width + 0.5;
  const size = e => parseFloat(frame.contentWindow.getComputedStyle(e).fontSize);
  found.push({
    width, scroll: root.scrollWidth, smallest: Math.min(...words.map(size)), words: words.length,
    over: shown.filter(over).map(e => e.outerHTML.slice(0, 80)),
    pictures: [...page.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width]),
    columns: [...page.querySelectorAll(".verdicts thead")].map(
      head => [...head.querySelectorAll("th")].filter(e => e.getClientRects().length).length),
  });
}
document.body.textContent = JSON.stringify(found);
"""


def browse(tmp_path: Path, *flags: str) -> str:
    profile = tmp_path / "profile"
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    words += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"]
    return subprocess.run(["chromium", *words, *flags], capture_output=True, text=True, timeout=120, check=True).stdout


@chromium
@pytest.mark.slow
def test_on_a_phone_and_on_a_desk_nothing_runs_over_and_all_is_legible(place: Path, done, tmp_path: Path) -> None:
    # Frames, because a window has a least width; their content is part of this page, so that it can be measured.
    frames = "".join(
        f'<iframe width="{width}" height="800" srcdoc="{html.escape(page(place))}"></iframe>'
        for width in (320, 390, 1200)
    )
    outer = tmp_path / "measure.html"
    outer.write_text(f"<!DOCTYPE html><body>{frames}<script>addEventListener('load', () => {{{_MEASURE}}})</script>")
    shown = browse(tmp_path, "--dump-dom", "--window-size=1600,1000", outer.as_uri())
    phones_and_desk = json.loads(html.unescape(re.search(r"<body>(.*?)</body>", shown, re.DOTALL)[1]))  # type: ignore[index]
    for found, columns in zip(phones_and_desk, (2, 2, 5), strict=True):
        assert found["scroll"] <= found["width"]
        assert found["over"] == []
        assert found["smallest"] >= 14
        assert found["words"] > 100
        assert len(found["pictures"]) == 8
        assert all(natural > 0 and 250 <= drawn <= found["width"] for natural, drawn in found["pictures"])
        assert found["columns"] == [columns] * 2


@chromium
@pytest.mark.slow
def test_it_prints_on_several_pages_each_data_set_on_its_own(place: Path, done, tmp_path: Path) -> None:
    printed = tmp_path / "report.pdf"
    browse(
        tmp_path, f"--print-to-pdf={printed}", "--no-pdf-header-footer", (place / "outputs" / "report.html").as_uri()
    )
    data = printed.read_bytes()
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    assert 6 <= pages <= 20
    # Two data sets and the figures: each data set begins a page.
    assert pages >= 2 * 3


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "outputs holds no results.parquet"),
        (["nowhere"], "nowhere holds no results.parquet"),
        (["--outptu", "x"], "report has no option --outptu; see convergence report --help."),
        (["outputs", "--output"], "expected one argument"),
    ],
)
def test_bad_input_gets_one_sentence(words: list[str], sentence: str, tmp_path: Path) -> None:
    done = command("report", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_output_goes_where_it_is_told_and_a_place_that_cannot_be_is_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(next((place / "outputs" / "training").iterdir()))
    assert main(["report", folder, f"--output={tmp_path}/here"]) == 0
    assert {p.name for p in (tmp_path / "here").iterdir()} == {"report.md", "report.html", "report-figures"}
    (tmp_path / "file").touch()
    assert main(["report", folder, f"--output={tmp_path}/file"]) == 1
    assert "a part of the path is a file" in capsys.readouterr().err


def test_help_says_what_it_does(tmp_path: Path) -> None:
    done = command("report", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "usage: convergence report [FOLDER …] [--output FOLDER]" in done.stdout
    assert "    report " in command("--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (-0.0012, (-0.24, 0.24), "0.00 [−0.24, 0.24]"),
        (-0.0012, (-0.02, 0.01), "−0.001 [−0.020, 0.010]"),
        (0.756, None, "0.76"),
    ],
)
def test_numbers_have_the_decimals_that_tell_something_and_a_true_minus(value, interval, text: str) -> None:
    assert words.with_interval(value, interval) == text
