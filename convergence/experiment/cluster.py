"""What submitit leaves open on a SLURM cluster: jobs that die unseen, and others that go on when one has failed."""

from __future__ import annotations

import logging
import subprocess
import time
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from convergence.system.errors import UserError

_log = logging.getLogger("convergence")
_EVERY = 60  # seconds between two looks at the queue, at most
_LATE = 5  # seconds that a result may come after its job's end
# States of the queue that submitit does not know, by those that mean the same to it.
_STATES = {
    **dict.fromkeys(("CONFIGURING", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"), "PENDING"),
    **dict.fromkeys(("SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"), "RUNNING"),
}


def prepare() -> None:
    """Let submitit return a job that was killed as failed, and watch the queue where there is no accounting."""
    from submitit.slurm.slurm import SlurmJob

    SlurmJob._results_timeout_s = _LATE  # what a job did is read from its run folder
    SlurmJob.results = _results  # type: ignore[assignment, method-assign]
    if not _accounting():
        _log.warning(
            "this cluster keeps no accounting: the queue is asked instead, every %d s at most, and a job that is gone "
            "from it without a result counts as failed.",
            _EVERY,
        )
        SlurmJob.watcher = queue_watcher()


def _accounting() -> bool:
    try:
        asked = subprocess.run(["sacct", "--noheader", "--jobs=1"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


class _Killed(JobReturn):
    """What Hydra gets for a job that left nothing."""

    def __init__(self, what: str) -> None:
        super().__init__(status=JobStatus.FAILED)
        self.what = what

    @property
    def return_value(self) -> Any:
        raise UserError(self.what)

    @return_value.setter
    def return_value(self, value: Any) -> None:
        raise AssertionError("a job that was killed returns nothing")


def _results(job: Any) -> list[Any]:
    """What a job returned; one that was killed gives a failed job, so that the others are waited for."""
    from submitit.core.utils import UncompletedJobError

    job.wait()
    try:
        outcome, value = job._get_outcome_and_result()
    except UncompletedJobError:
        return [_Killed(f"job {job.job_id} ended without a result ({job.state}); its log is {job.paths.stderr}")]
    if outcome == "success":
        return [value]
    return [_Killed(f"job {job.job_id} failed ({value.strip().splitlines()[-1]}); its log is {job.paths.stderr}")]


def queue_watcher() -> Any:
    """Submitit's watcher of jobs, asking ``squeue`` instead of ``sacct``."""
    from submitit.slurm.slurm import SlurmInfoWatcher

    class QueueWatcher(SlurmInfoWatcher):
        def update(self) -> None:
            waiting = self._registered - self._finished
            if not waiting:
                return
            self._num_calls += 1
            numbers = ",".join(sorted({job.split("_")[0] for job in waiting}))
            command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T", f"--jobs={numbers}"]
            asked = subprocess.run(command, capture_output=True, text=True, check=False)
            self._last_status_check = time.time()
            if asked.returncode and "Invalid job id" not in asked.stderr:
                return  # the controller does not answer now
            listed = dict(line.split("|") for line in asked.stdout.split())
            for job in waiting:
                state = listed.get(job, "GONE")
                self._info_dict[job] = {"JobID": job, "State": _STATES.get(state, state)}
            self._finished |= {job for job in waiting if self.is_done(job, mode="cache")}

    return QueueWatcher(delay_s=_EVERY)
