"""``hydra/launcher=ray_job``: each run is a job of a Ray cluster that is already there.

Ray's job submission starts the run's driver in a process of its own on the cluster. The run joins
the cluster with its own runtime environment, its own token, and with that its own TransferQueue and
weight-sync sockets (r1reward/plugin/patches.py).
"""

import hashlib
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from r1reward.config import ConfigError
from r1reward.sweep.job import Job


class RayJob:
    """Submits jobs to a cluster, and waits for them.

    Jobs survive this process: the same command finds those that are running.
    """

    overrides = ("ray_kwargs.ray_init.address=auto",)

    def __init__(self, address: str, parallel: int, poll_seconds: float) -> None:
        """Take the settings of conf/hydra/launcher/ray_job.yaml."""
        self._address = address
        self._parallel = parallel
        self._poll_seconds = poll_seconds

    def run(self, jobs: Sequence[Job]) -> Iterator[Job]:
        """Submit so many at a time; yield each when it has ended.

        Raises:
            ConfigError: where no cluster answers.
        """
        if not jobs:
            return
        client, queue = self._client(), list(jobs)
        running: dict[str, Job] = {}
        while queue or running:
            while queue and len(running) < self._parallel:
                job = queue.pop(0)
                running[self._submit(client, job)] = job
            time.sleep(self._poll_seconds)
            for name in list(running):
                if client.get_job_status(name).is_terminal():
                    yield running.pop(name)

    def _client(self) -> Any:
        from ray.job_submission import JobSubmissionClient

        try:
            return JobSubmissionClient(self._address)
        except (ConnectionError, RuntimeError) as problem:
            raise ConfigError(
                f"hydra.launcher.runner.address={self._address}: no Ray cluster takes jobs there "
                f"({str(problem).splitlines()[0]}); start one with `ray start --head`"
            ) from None

    def _submit(self, client: Any, job: Job) -> str:
        """Submit the job, unless it is running there already; return its name on the cluster."""
        digest = hashlib.sha256(str(job.folder).encode()).hexdigest()[:16]
        name = f"r1reward-{digest}"
        known = {there.submission_id: there.status for there in client.list_jobs()}
        if name in known and not known[name].is_terminal():
            return name
        if name in known:  # an earlier attempt: names are unique
            client.delete_job(name)
        entrypoint = [sys.executable, "-m", "r1reward.sweep.worker", str(job.folder)]
        client.submit_job(entrypoint=shlex.join(entrypoint), submission_id=name)
        return name
