"""``hydra/launcher=submitit_slurm``: an allocation a run, all of a batch as one array.

A run that is preempted or out of time is queued again by submitit, and goes on from its last
checkpoint, as every run does. A run of several nodes has a Ray cluster over them (nodes.py).
Whether a job is still there is asked of ``squeue``, because clusters without accounting have no
``sacct``, which submitit asks.
"""

import math
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from r1reward.core.errors import ConfigError
from r1reward.machine.signals import interruptible
from r1reward.store.files import write_text
from r1reward.sweep.job import Job
from r1reward.sweep.nodes import Nodes
from r1reward.sweep.worker import work

if TYPE_CHECKING:
    from submitit import Job as SlurmJob
    from submitit.helpers import DelayedSubmission

_UNTIL_KILLED = 900.0  # seconds; the longest grace of a preemption that is waited out


@dataclass(frozen=True, slots=True)
class Task:
    """What submitit runs in the allocation."""

    folder: str
    ray_start: tuple[str, ...] = ()

    def __call__(self) -> None:
        """Run the job, or lend this node to it."""
        from submitit import JobEnvironment

        here, folder = JobEnvironment(), Path(self.folder)
        try:
            if here.num_tasks == 1:
                work(folder)
                return
            again = os.environ.get("SLURM_RESTART_COUNT", "0")
            nodes = Nodes(
                folder, f"{here.job_id}.{again}", here.global_rank, here.num_tasks, self.ray_start
            )
            with interruptible():
                nodes(lambda: work(folder))
        except KeyboardInterrupt:
            # SIGTERM: preempted, or cancelled. For Slurm, who exits now has ended by himself, and
            # would not be queued again; so stay until the announcement that does it, or SIGKILL.
            time.sleep(_UNTIL_KILLED)

    def checkpoint(self) -> "DelayedSubmission":
        """Return what to run when queued again: the same, it goes on by itself."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SubmititSlurm:
    """Submits jobs by submitit, and waits for them.

    Jobs survive this process: the same command finds those that are queued or running.
    """

    def __init__(
        self,
        cluster: str,
        parameters: Mapping[str, str | int | None],
        max_num_timeout: int,
        poll_seconds: float,
        ray_start: Sequence[str],
    ) -> None:
        """Take the settings of conf/hydra/launcher/submitit_slurm.yaml."""
        self._cluster = cluster
        self._ray_start = tuple(map(str, ray_start))
        self._parameters = {key: value for key, value in parameters.items() if value is not None}
        self._max_num_timeout = max_num_timeout
        self._poll_seconds = poll_seconds

    @property
    def overrides(self) -> Sequence[str]:
        """A run of several nodes joins the cluster over them."""
        given = (self._parameters.get(key, 1) for key in ("nodes", "tasks_per_node"))
        tasks = math.prod(map(int, given))
        return ("ray_kwargs.ray_init.address=auto",) if tasks > 1 else ()

    def run(self, jobs: Sequence[Job]) -> Iterator[Job]:
        """Submit what is not there yet; yield each job when it has left the queue.

        Raises:
            ConfigError: where there is no Slurm, or it does not take the job.
        """
        there = self._queued(first=True)
        waiting = {name: job for job in jobs if (name := _submitted(job)) in there}
        new = [job for job in jobs if job not in waiting.values()]
        handles = self._submit(new) if new else []
        for handle, job in zip(handles, new, strict=True):
            write_text(job.folder / "slurm.txt", handle.job_id)
            waiting[handle.job_id] = job
        local = {handle.job_id: handle for handle in handles if self._cluster == "local"}
        while waiting:
            time.sleep(self._poll_seconds)
            there = {name for name, handle in local.items() if not handle.done()} | self._queued()
            for name in [name for name in waiting if name not in there]:
                yield waiting.pop(name)

    def _submit(self, jobs: Sequence[Job]) -> "list[SlurmJob[None]]":
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        folder = jobs[0].folder.parent / "submitit"
        try:
            executor = submitit.AutoExecutor(
                folder, cluster=self._cluster, slurm_max_num_timeout=self._max_num_timeout
            )
            executor.update_parameters(name=folder.parent.name, **self._parameters)
            with executor.batch():
                handles = [executor.submit(Task(str(job.folder), self._ray_start)) for job in jobs]
        except (RuntimeError, ValueError, NameError, FailedJobError, FailedSubmissionError) as no:
            raise ConfigError(f"hydra.launcher.runner: {no}") from None
        return handles

    def _queued(self, *, first: bool = False) -> set[str]:
        """Return the ids of this user's jobs that wait or run, as submitit writes them.

        Args:
            first: take no answer for an error, rather than for a controller that is busy.
        """
        if self._cluster != "slurm":
            return set()
        command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
        while True:
            try:
                listing = subprocess.run(command, capture_output=True, text=True)
            except FileNotFoundError:
                raise ConfigError("hydra/launcher=submitit_slurm: no squeue here") from None
            if listing.returncode == 0:
                return set(listing.stdout.split())
            if first:
                raise ConfigError(f"hydra/launcher=submitit_slurm: {listing.stderr.strip()}")
            time.sleep(self._poll_seconds)


def _submitted(job: Job) -> str | None:
    try:
        return (job.folder / "slurm.txt").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
