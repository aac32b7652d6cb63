"""A SLURM of two nodes of a core each on loopback, for tests: its own folder, no systemd, nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from convergence.experiment import cluster

NEEDED = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
_WAIT = 30.0


def look_often() -> None:
    """In the process of a command: ask for the state of its jobs every other second, not every minute."""
    cluster._EVERY = 2


class Unavailable(Exception):
    """Why there can be no cluster here."""


class Slurm:
    """Started by :meth:`start`; always ended by :meth:`stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}

    def start(self) -> None:
        lacking = [name for name in NEEDED if shutil.which(name) is None]
        if lacking:
            raise Unavailable(f"SLURM is not installed ({', '.join(lacking)})")
        if os.geteuid() != 0:
            raise Unavailable("slurmctld and slurmd need root here")
        host = socket.gethostname().split(".")[0]
        ports = _free_ports(4)
        self.folder.mkdir(parents=True, exist_ok=True)
        # A job that is queued again may begin once its credential is over, by default after two minutes.
        (self.folder / "slurm.conf").write_text(
            f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MpiDefault=none
KillWait=5
ReturnToService=1
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool-%n
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd-%n.pid
SlurmctldLogFile={self.folder}/slurmctld.log
SlurmdLogFile={self.folder}/slurmd-%n.log
"""
            + "".join(
                f"NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[i]} CPUs=1 RealMemory=8000\n"
                for i in (1, 2)
            )
            + "PartitionName=all Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP\n"
        )
        (self.folder / "state").mkdir()
        for command in (["slurmctld"], ["slurmd", "-N", "n1"], ["slurmd", "-N", "n2"]):
            begun = subprocess.run(
                command, env=self.environment, capture_output=True, text=True, timeout=30, check=False
            )
            if begun.returncode:
                raise Unavailable(f"{command[0]} does not start: {begun.stderr.strip()[-200:]}")
        end = time.monotonic() + _WAIT
        while self.ask("sinfo", "--noheader", "--format=%D %t").strip() != "2 idle":
            if time.monotonic() > end:
                raise Unavailable(f"the nodes do not come up: {self.ask('sinfo', '--noheader', '--format=%D %t %E')}")
            time.sleep(0.2)

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """Job → state, of all that wait or run."""
        lines = self.ask("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def restarts(self, job: str) -> int:
        """How often it was queued again."""
        return int(self.ask("scontrol", "show", "job", job).split("Restarts=")[1].split()[0])

    def stop(self) -> None:
        """End all jobs, then the daemons by their pid files, and wait until they are gone."""
        if not (self.folder / "slurm.conf").is_file():
            return
        if shutil.which("scancel"):
            self.ask("scancel", "--user=root")
            end = time.monotonic() + 10
            while self.jobs() and time.monotonic() < end:
                time.sleep(0.2)
        pids = [int(path.read_text()) for path in self.folder.glob("*.pid")]
        for sent in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + 10
            for pid in pids:
                _send(pid, sent)
            while any(map(_lives, pids)) and time.monotonic() < end:
                time.sleep(0.1)


def _send(pid: int, sent: signal.Signals) -> None:
    if _lives(pid):
        os.kill(pid, sent)


def _lives(pid: int) -> bool:
    """Whether the daemon runs; the number may have passed to another process, or be a zombie's."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        return name.startswith("slurm") and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found
