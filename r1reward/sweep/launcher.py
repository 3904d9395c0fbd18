"""Launch of a sweep by Hydra: due jobs, their results, and its records.

Hydra's sweeper hands over lists of overrides, at once (a grid) or batch by batch (optuna). Their
folders are named after the overrides, so the same command finds what earlier ones have done.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from r1reward.config.objective import objectives
from r1reward.config.secrets import shown
from r1reward.core.errors import ConfigError
from r1reward.machine.console import console_on
from r1reward.store.files import hold
from r1reward.sweep.job import Job, State
from r1reward.sweep.manifest import Manifest, Result
from r1reward.sweep.summary import PAGE, table, write_summary

FAILED = "failed"  # sweep.retry


class Runner(Protocol):
    """Where the jobs of a sweep run; one file each in this package."""

    @property
    def overrides(self) -> Sequence[str]:
        """What a run has to be told there."""
        ...

    def run(self, jobs: Sequence[Job]) -> Iterator[Job]:
        """Run the jobs, each by :func:`r1reward.sweep.worker.work`; yield each when it is over."""
        ...


class Sweep:
    """One sweep, from the first batch of its sweeper to the last."""

    def __init__(self, config: DictConfig, runner: Runner) -> None:
        """Take hold of the sweep's folder.

        Args:
            config: what Hydra composed, ``hydra`` included.
            runner: where the jobs run.

        Raises:
            ConfigError: for a configuration that cannot run, or a folder that is in use.
        """
        self.folder = Path(config.hydra.sweep.dir).resolve()
        self._runner = runner
        self._objectives = objectives(config.sweep.objectives)
        self._retry = config.sweep.retry
        if self._retry not in (None, FAILED):
            raise ConfigError(f"sweep.retry={self._retry}: it is {FAILED}, or null")
        self._module = _command()
        self._console = console_on(sys.stdout)
        self._manifest = Manifest(
            self._module, list(map(shown, sys.argv[1:])), self._objectives, []
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / "lock", "a")  # noqa: SIM115 - held as long as the sweep
        hold(self._lock, ConfigError(f"{self.folder}: another process runs this sweep"))

    def launch(self, batch: Sequence[Sequence[str]]) -> list[JobReturn]:
        """Run the jobs of a batch that are due; return what each one is worth, in their order."""
        jobs = [Job.of(overrides, self.folder) for overrides in batch]
        different = list({job.folder: job for job in jobs}.values())
        self._manifest.add(different)
        self._manifest.write(self.folder)
        due = [job for job in different if self._due(job)]
        for job in due:
            job.write(self._module, self._runner.overrides)
        self._announce(different, due)
        for job in self._runner.run(due):
            self._show(job)
            write_summary(self.folder, self._manifest)
        return [self._worth(job, overrides) for job, overrides in zip(jobs, batch, strict=True)]

    def _due(self, job: Job) -> bool:
        state = job.state
        if self._retry == FAILED:
            return state is State.FAILED
        return state in (State.TO_DO, State.INTERRUPTED)

    def _announce(self, jobs: Sequence[Job], due: Sequence[Job]) -> None:
        if len(self._manifest.jobs) == len(jobs):  # the first batch
            self._console.print(f"sweep    {self.folder}", markup=False, soft_wrap=True)
        for job in jobs:
            if job not in due:
                self._show(job)
        for job in due:
            line = f"to run   {self._manifest.label(job)}  {job.console}"
            self._console.print(line, markup=False, soft_wrap=True)

    def _show(self, job: Job) -> None:
        result = Result.of(job, self._objectives)
        values = zip(self._objectives, result.values, strict=True)
        words = [f"{objective.metric} {objective.text(value)}" for objective, value in values]
        said = ", ".join(words) if result.state is State.FINISHED else result.reason
        line = f"{result.state:<8} {self._manifest.label(job)}  {said}"
        self._console.print(line, markup=False, soft_wrap=True)

    def _worth(self, job: Job, overrides: Sequence[str]) -> JobReturn:
        """Return the objectives as Hydra's sweepers want them.

        None where there are none: optuna records that trial as failed and goes on.
        """
        result = Result.of(job, self._objectives)
        values = result.values if result.complete else None
        value = values[0] if values is not None and len(values) == 1 else values
        return JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=value)


def conclude(config: DictConfig) -> None:
    """Show what came out of a sweep, after its last batch.

    Raises:
        SystemExit: with status 1 when a run has not finished.
    """
    folder = Path(config.hydra.sweep.dir).resolve()
    console = console_on(sys.stdout)
    manifest = Manifest.read(folder)
    write_summary(folder, manifest)
    console.print(table(manifest), soft_wrap=True)
    console.print(f"page     {folder / PAGE}", markup=False, soft_wrap=True)
    states = [job.state for job in manifest.jobs]
    if State.FAILED in states:
        console.print(
            f"{states.count(State.FAILED)} of {len(states)} runs failed; to run only those: "
            "sweep.retry=failed"
        )
    if any(state is not State.FINISHED for state in states):
        raise SystemExit(1)


def _command() -> str:
    """Return the module of the command that was started: each job starts it as well."""
    spec = sys.modules["__main__"].__spec__
    if spec is None:
        raise ConfigError("start a sweep by a command, such as `r1reward sweep`")
    return spec.name
