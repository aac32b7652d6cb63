"""Sets that are not on disk are fetched once, and nothing unsafe or broken is left."""

from __future__ import annotations

import hashlib
import http.server
import json
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from convergence.stimuli import fetch
from convergence.stimuli.conditions import model_vs_human
from convergence.stimuli.conditions.conditions import conditions
from convergence.stimuli.options import FilesConfig, ShiftSource
from convergence.system.errors import UserError
from tests.support.shifted_sets import ONE_OF_EACH, config, write_imagenet, write_set


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the benchmark's archives are fetched from."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setattr(model_vs_human, "URL", f"http://127.0.0.1:{running.server_port}/{{}}.tar.gz")
        yield folder
        running.shutdown()


def pack(served: Path, tmp_path: Path, name: str) -> Path:
    write_set(tmp_path / "made", name)
    archive = served / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / name, name)
    return archive


def options_for(tmp_path: Path, name: str) -> FilesConfig:
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH)
    return config(tmp_path, ShiftSource.model_vs_human, conditions=[name], download=True)


def test_a_missing_set_is_fetched_once_and_its_hash_kept(tmp_path: Path, server: Path) -> None:
    archive = pack(server, tmp_path, "edge")
    options = options_for(tmp_path, "edge")
    _, (c,) = conditions(options)
    assert len(c.stimuli) == 16
    record = json.loads((tmp_path / "sets/edge.json").read_text())
    assert record["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert record["files"] == 16
    assert record["bytes"] == archive.stat().st_size
    assert record["url"].endswith("/edge.tar.gz")
    archive.unlink()
    assert len(conditions(options)[1][0].stimuli) == 16
    assert sorted(p.name for p in (tmp_path / "sets").iterdir() if p.suffix != ".lock") == ["edge", "edge.json"]


def test_without_a_network_one_sentence_says_where_it_looked_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_vs_human, "URL", "http://127.0.0.1:9/{}.tar.gz")
    with pytest.raises(UserError) as error:
        conditions(options_for(tmp_path, "contrast"))
    message, root = str(error.value), tmp_path / "sets"
    assert (
        f"the set contrast was not found in {root}, and downloading http://127.0.0.1:9/contrast.tar.gz fail" in message
    )
    assert f"curl -L http://127.0.0.1:9/contrast.tar.gz | tar -xz -C {root}`" in message
    assert "dataset.shifts_root=PATH" in message
    assert "\n" not in message
    assert not [p for p in root.iterdir() if p.suffix != ".lock"]
    with pytest.raises(UserError, match=r"was not found in .*dataset.download=false: get it with `mkdir -p"):
        conditions(config(tmp_path, ShiftSource.model_vs_human, conditions=["contrast"]))


def test_the_usual_places_are_searched_and_the_benchmarks_address_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH)
    options = config(tmp_path, ShiftSource.model_vs_human, shifts_root=None, conditions=["false-colour"])
    address = "https://github.com/bethgelab/model-vs-human/releases/download/v0.1/false-colour.tar.gz"
    with pytest.raises(
        UserError, match=rf"found in data/model-vs-human, .*cache/convergence/model-vs-human, .*{address}"
    ):
        conditions(options)
    write_set(tmp_path / "data/model-vs-human", "false-colour")
    assert len(conditions(options)[1]) == 1


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    ("evil", "reason"),
    [
        (member("/etc/edge"), "has an absolute path"),
        (member("C:/edge"), "has an absolute path"),
        (member("\\edge"), "has an absolute path"),
        (member("../edge.txt"), "lies outside"),
        (member("edge/../../out"), "lies outside"),
        (member("edge\\..\\..\\out"), "lies outside"),
        (member("edge/link", tarfile.SYMTYPE, "/etc"), "is a link"),
        (member("edge/hard", tarfile.LNKTYPE, "edge/bear/bear4.png"), "is a link"),
        (member("edge/device", tarfile.CHRTYPE), "is neither a file nor a folder"),
        (member("edge/pipe", tarfile.FIFOTYPE), "is neither a file nor a folder"),
    ],
)
def test_unsafe_members_are_refused_and_nothing_is_left(
    tmp_path: Path, server: Path, evil: tarfile.TarInfo, reason: str
) -> None:
    with tarfile.open(server / "edge.tar.gz", "w:gz") as tar:
        tar.addfile(member("edge/bear", tarfile.DIRTYPE))
        tar.addfile(evil)
    with pytest.raises(UserError, match=rf"is not unpacked: its member .* {reason}"):
        conditions(options_for(tmp_path, "edge"))
    assert not [p for p in (tmp_path / "sets").iterdir() if p.suffix != ".lock"]
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "edge.txt").exists()


@pytest.mark.parametrize("damage", [b"<html>sign in</html>", b"", None])
def test_a_broken_archive_is_refused_and_nothing_is_left(tmp_path: Path, server: Path, damage: bytes | None) -> None:
    archive = pack(server, tmp_path, "edge")
    archive.write_bytes(archive.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(UserError, match=r"edge.tar.gz is broken"):
        conditions(options_for(tmp_path, "edge"))
    assert not [p for p in (tmp_path / "sets").iterdir() if p.suffix != ".lock"]


def test_an_archive_of_something_else_is_refused(tmp_path: Path, server: Path) -> None:
    pack(server, tmp_path, "edge").rename(server / "silhouette.tar.gz")
    with pytest.raises(UserError, match="holds no folder silhouette"):
        conditions(options_for(tmp_path, "silhouette"))
    assert not [p for p in (tmp_path / "sets").iterdir() if p.suffix != ".lock"]


def test_a_download_that_ends_early_leaves_nothing(
    tmp_path: Path, server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(server, tmp_path, "edge")
    whole = fetch.read_block
    monkeypatch.setattr(fetch, "read_block", lambda answer, size: whole(answer, 100) if answer.length > 1000 else b"")
    with pytest.raises(UserError, match=r"downloading .*edge.tar.gz failed"):
        conditions(options_for(tmp_path, "edge"))
    assert not [p for p in (tmp_path / "sets").iterdir() if p.suffix != ".lock"]


def test_what_a_killed_download_left_is_swept_away(tmp_path: Path, server: Path) -> None:
    pack(server, tmp_path, "edge")
    left = tmp_path / "sets/.edge.0123abcd.tmp"
    left.mkdir(parents=True)
    (left / "archive.tar.gz").write_bytes(b"half")
    assert len(conditions(options_for(tmp_path, "edge"))[1][0].stimuli) == 16
    assert not left.exists()
