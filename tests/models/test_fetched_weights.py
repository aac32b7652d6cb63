"""Weights of libraries and hubs: where they are looked for, and what is said where they can't be fetched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from convergence.models import library
from convergence.models.options import Library, LibraryConfig
from convergence.system.errors import UserError
from tests.support.libraries import torchvision


def test_weights_that_cannot_be_fetched_say_where_they_belong_and_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch.hub

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(UserError, match=rf"DEFAULT of resnet18 are not in {tmp_path}.*run `python -c"):
        library.trajectories(torchvision(weights=["DEFAULT"]))
    with pytest.raises(UserError, match="choose from IMAGENET1K_V1"):
        library.trajectories(torchvision(weights=["V9"]))


@pytest.fixture
def hub_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Let timm's weights come from another address; whoever waits before asking again fails."""
    import time

    from huggingface_hub import constants

    def point(address: str) -> None:
        url = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited for a hub that cannot be reached"))

    return point


def test_a_hub_that_cannot_be_reached_is_asked_once_and_said_at_once(hub_at: Callable[[str], None]) -> None:
    from huggingface_hub import constants

    hub_at("http://127.0.0.1:9")
    config = LibraryConfig(name="resnet18", library=Library.timm, weights=["a1_in1k"])
    with pytest.raises(
        UserError, match=r"a1_in1k of resnet18 .* \(http://127.0.0.1:9 cannot be reached\): on a machine"
    ):
        library.trajectories(config)
    assert not constants.HF_HUB_OFFLINE, "others in this process decide for themselves"


def test_a_hub_that_can_be_reached_is_asked_for_the_weights(hub_at: Callable[[str], None]) -> None:
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path == "/" else 404)
            self.end_headers()

        do_GET = do_HEAD

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub_at(f"http://127.0.0.1:{server.server_port}")
        config = LibraryConfig(name="resnet18", library=Library.timm, weights=["a1_in1k"])
        with pytest.raises(UserError, match=r"a1_in1k of resnet18 are not in .* and could not be fetched"):
            library.trajectories(config)
        server.shutdown()
    assert asked[0] == "/"
    assert "/timm/resnet18.a1_in1k/resolve/main/model.safetensors" in asked


def test_a_network_that_drops_what_it_does_not_let_through_ends_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import socket
    import urllib.request

    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use in this process
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
        monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
        with pytest.raises(
            UserError, match=r"IMAGENET1K_V1 of resnet18 are not in .* could not be fetched \(.*timed out"
        ):
            library.trajectories(torchvision(weights=["IMAGENET1K_V1"]))
    assert socket.getdefaulttimeout() is None


def test_names_of_the_hub_are_read_as_timm_reads_them(hub_at: Callable[[str], None], tmp_path: Path) -> None:
    import json

    import timm
    from safetensors.torch import save_file

    torch.manual_seed(1)
    model = timm.create_model("resnet18", num_classes=3)
    folder = tmp_path / "mine"
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    about = {"architecture": "resnet18", "num_classes": 3, "pretrained_cfg": {"input_size": [3, 64, 64]}}
    (folder / "config.json").write_text(json.dumps(about))
    config = LibraryConfig(name=f"local-dir:{folder}", library=Library.timm, weights=["DEFAULT"])
    ((network,),) = library.trajectories(config)
    assert torch.equal(network.build().fc.weight, model.fc.weight)
    hub_at("http://127.0.0.1:9")
    config.name = "hf-hub:me/mine"
    with pytest.raises(UserError, match=r"model.name=hf-hub:me/mine could not be read \(the hub cannot be reached\)"):
        library.trajectories(config)
