"""The hub that timm fetches weights from: where it cannot be reached, it is asked once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from convergence.system import process


@contextmanager
def offline_if_unreachable() -> Iterator[bool]:
    """Within it, the hub's client is offline if the hub does not answer; yields whether it is.

    Offline, what was fetched before is used and anything else refused at once; online, the client tries each file six
    times before it gives up. Any answer, through a proxy or from a mirror, counts as being online.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _answers(constants.ENDPOINT)
    try:
        yield constants.HF_HUB_OFFLINE
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def timed() -> Iterator[None]:
    """Within it, a connection over which nothing comes for HF_HUB_DOWNLOAD_TIMEOUT seconds is given up.

    The hub's own client does that by itself; torchvision's downloads would wait for ever behind a firewall that drops
    what it does not let through.
    """
    from huggingface_hub import constants

    with process.patience(constants.HF_HUB_DOWNLOAD_TIMEOUT):
        yield


@cache
def _answers(address: str) -> bool:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(address, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception:  # the client's own kind, which differs from version to version
        return False
    return True
