"""Manifest of a sweep: ``sweep.json`` in its folder."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan
from pathlib import Path
from typing import Self

from r1reward.config.objective import Objective, objectives
from r1reward.core.errors import ConfigError
from r1reward.store.files import write_text
from r1reward.sweep.job import End, Job, State, names, short
from r1reward.sweep.worth import worth

_FILE = "sweep.json"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a job.

    Attributes:
        values: of the objectives, in their order; NaN where there is none.
        seconds: of the last attempt.
    """

    job: Job
    state: State
    values: tuple[float, ...]
    reason: str
    seconds: float | None

    @classmethod
    def of(cls, job: Job, wanted: Sequence[Objective]) -> Self:
        """Read it from the job's folder."""
        state = job.state
        end: End = job.end or {}
        finished = state is State.FINISHED
        values = tuple(worth(item, job.run) if finished else float("nan") for item in wanted)
        reason = "" if finished else end.get("reason", "")
        return cls(job, state, values, reason, end.get("seconds"))

    @property
    def complete(self) -> bool:
        """Whether it finished with a number for every objective."""
        return self.state is State.FINISHED and not any(map(isnan, self.values))


@dataclass(slots=True)
class Manifest:
    """The jobs of a sweep, in the order in which they were asked for.

    Attributes:
        module: of the command that each job is.
        arguments: of the command that started the sweep.
        objectives: the most important first.
        jobs: of the last such command; what earlier ones ran stays in its folders.
    """

    module: str
    arguments: list[str]
    objectives: list[Objective]
    jobs: list[Job]
    _finished: dict[Job, Result] = field(default_factory=dict)  # what does not change any more

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it.

        Raises:
            ConfigError: when the folder is not that of a sweep.
        """
        try:
            kept = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(
                f"{folder}: no {_FILE} there; name the folder of a sweep, such as runs/sweeps/smoke"
            ) from None
        jobs = [Job(tuple(job["overrides"]), folder / job["folder"]) for job in kept["jobs"]]
        return cls(kept["module"], kept["arguments"], objectives(kept["objectives"]), jobs)

    def write(self, folder: Path) -> None:
        """Write it, with what is known of each job."""
        rows = []
        for result in self.results():
            values = [value if isfinite(value) else None for value in result.values]
            rows.append(
                {
                    "folder": result.job.folder.name,
                    "overrides": result.job.overrides,
                    "command": result.job.command(self.module),
                    "state": result.state,
                    "values": values,
                    "reason": result.reason,
                    "seconds": result.seconds,
                }
            )
        kept = {
            "module": self.module,
            "arguments": self.arguments,
            "objectives": [str(objective) for objective in self.objectives],
            "written": time.time(),
            "jobs": rows,
        }
        write_text(folder / _FILE, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")

    def add(self, jobs: Iterable[Job]) -> None:
        """Add the jobs that are new."""
        self.jobs += [job for job in jobs if job not in self.jobs]

    def results(self) -> list[Result]:
        """Return what became of each job."""
        found = [self._finished.get(job) or Result.of(job, self.objectives) for job in self.jobs]
        self._finished = {one.job: one for one in found if one.state is State.FINISHED}
        return found

    def varied(self) -> list[str]:
        """Return the keys whose values differ between jobs; a sampler may not have set all."""
        keys = dict.fromkeys(key for job in self.jobs for key in job.settings)
        return [key for key in keys if len({job.settings.get(key) for job in self.jobs}) > 1]

    def label(self, job: Job) -> str:
        """Return what is particular about a job, in few words."""
        settings, known = job.settings, names(self.varied())
        words = [f"{name}={short(settings[key])}" for key, name in known.items() if key in settings]
        return " ".join(words) or job.folder.name
