"""``python -m convergence`` in processes forked from one that has imported all of it: a start takes no seconds.

Each has its own directory, environment and descriptors of output; it can be signalled and killed, and ends as the
program does. What a fresh interpreter imports is not seen here: see ``tests/commands/test_light_commands.py``.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# What a run and its figures load. No import of these starts a thread, which a fork would lose.
_OURS = ("convergence.commands.callbacks", "convergence.experiment.run", "convergence.figures", "tests.support.command")
_OTHERS = ("hydra.main", "hydra.experimental.callback", "matplotlib.backends.backend_pdf", "pyarrow.dataset")
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload([*_OURS, *_OTHERS, "tests.support.races", "tests.support.frozen"])


class Begun:
    """A command that runs: ``pid`` is its process, and :attr:`out` and :attr:`err` are files of what it has said."""

    def __init__(
        self,
        words: Sequence[str],
        cwd: Path | None,
        env: Mapping[str, str] | None,
        before: Callable[[], object] | None,
    ) -> None:
        self.args = ["convergence", *words]
        self._folder = tempfile.TemporaryDirectory()
        self.out, self.err = (Path(self._folder.name) / name for name in ("stdout", "stderr"))
        self.out.touch()
        self.err.touch()
        what = (self.args, str(cwd or Path.cwd()), dict(os.environ if env is None else env), self.out, self.err, before)
        self._process = FORKED.Process(target=_run, args=what)
        self._process.start()
        self.pid = self._process.pid or 0

    def send_signal(self, sent: signal.Signals) -> None:
        os.kill(self.pid, sent)

    def poll(self) -> int | None:
        """Its exit status, the signal's number below zero; None while it runs."""
        return self._process.exitcode

    def finish(self, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Wait for its end; it is killed where that does not come."""
        self._process.join(timeout)
        if (status := self.poll()) is None:
            self._process.kill()
            raise subprocess.TimeoutExpired(self.args, timeout, self.out.read_text(), self.err.read_text())
        return subprocess.CompletedProcess(self.args, status, self.out.read_text(), self.err.read_text())

    def until(self, what: Callable[[], object], timeout: float = 120) -> None:
        """Wait for what is to be while the command runs."""
        end = time.monotonic() + timeout
        while not what():
            assert self.poll() is None, self.err.read_text()
            assert time.monotonic() < end, f"waited too long: {self.err.read_text()}"
            time.sleep(0.02)


def begin(
    *words: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    before: Callable[[], object] | None = None,
) -> Begun:
    """Start ``convergence WORDS``; ``before``, which can be pickled, is called in its process first."""
    return Begun(words, cwd, env, before)


def command(*words: str, **where: Any) -> subprocess.CompletedProcess[str]:
    """``convergence WORDS`` to its end, as :func:`subprocess.run` would tell of it."""
    return begin(*words, **where).finish()


def _run(
    args: list[str], cwd: str, env: dict[str, str], out: Path, err: Path, before: Callable[[], object] | None
) -> None:
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    # Read by the C library when a process starts, so that here the program has to ask for them itself.
    os.environ.update({name: value for name, value in env.items() if not name.startswith("MALLOC_")})
    multiprocessing.set_start_method(None, force=True)  # that of a fresh process
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores for its background jobs
    sys.argv, sys.path[0] = args, cwd
    from convergence.commands.main import main

    try:
        if before is not None:
            before()
        sys.exit(main())
    finally:
        atexit._run_exitfuncs()
