"""``hydra/launcher=ray_job``: each run is a job of a Ray cluster that is already there.

Ray's job submission starts the run's driver in a process of its own on the cluster. The run joins
the cluster with its own runtime environment, its own token, and with that its own TransferQueue and
weight-sync sockets (r1reward/plugin/patches.py).
"""

import hashlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1reward.core.errors import ConfigError
from r1reward.sweep.job import Job

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_TOKEN = Path.home() / ".ray" / "auth_token"  # Ray's own place for it
_PATIENCE = 180.0  # seconds


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
                if self._ask(client.get_job_status, name).is_terminal():
                    yield running.pop(name)

    def _ask(self, question: Callable[..., Any], *arguments: object, **more: object) -> Any:
        """Return the cluster's answer; one that is busy, or has just started, is asked again.

        Raises:
            ConfigError: when there is none for minutes.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return question(*arguments, **more)
            except (OSError, RuntimeError) as problem:
                if time.monotonic() > deadline:
                    raise ConfigError(f"{self._where}: {problem}") from None
                time.sleep(self._poll_seconds)

    def _client(self) -> "JobSubmissionClient":
        headers = {}
        # The cluster's daemons read the same file. Ray would read it only if RAY_AUTH_MODE were set
        # before its first import.
        if _TOKEN.exists() and "RAY_AUTH_MODE" not in os.environ:
            headers["Authorization"] = f"Bearer {_TOKEN.read_text().strip()}"
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient

        try:
            return JobSubmissionClient(self._address, headers=headers)
        except AuthenticationError:
            advice = (
                f"the cluster asks for a token; copy its head's {_TOKEN} here and to every node"
            )
            raise ConfigError(f"{self._where}: {advice}") from None
        except (ConnectionError, RuntimeError) as problem:
            reason = str(problem).splitlines()[0]
            advice = (
                f"no Ray cluster takes jobs there ({reason}); start one with `ray start --head`"
            )
            raise ConfigError(f"{self._where}: {advice}") from None

    @property
    def _where(self) -> str:
        return f"hydra.launcher.runner.address={self._address}"

    def _submit(self, client: "JobSubmissionClient", job: Job) -> str:
        """Submit the job, unless it is running there already; return its name on the cluster."""
        digest = hashlib.sha256(str(job.folder).encode()).hexdigest()[:16]
        name = f"r1reward-{digest}"
        known = {job.submission_id: job.status for job in self._ask(client.list_jobs)}
        if name in known and not known[name].is_terminal():
            return name
        if name in known:  # an earlier attempt: names are unique
            self._ask(client.delete_job, name)
        entrypoint = [sys.executable, "-m", "r1reward.sweep.worker", str(job.folder)]
        self._ask(client.submit_job, entrypoint=shlex.join(entrypoint), submission_id=name)
        return name
