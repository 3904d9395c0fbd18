"""Job of a sweep: its overrides, its folder, and its state."""

import hashlib
import json
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypedDict

from r1reward.cli.catalog import spoken
from r1reward.store.files import write_text
from r1reward.store.rundir import RunDir

SEED = "run.seed"
_READABLE = 60  # characters of a folder's name before its hash
_ODD = re.compile(r"[^A-Za-z0-9.+]+")


class State(StrEnum):
    """How far a job came."""

    TO_DO = "to do"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    FINISHED = "finished"


class Command(TypedDict):
    """What a job runs: a command line, and the folder to start it in."""

    command: list[str]
    cwd: str


class End(TypedDict, total=False):
    """How an attempt ended.

    Attributes:
        status: of the process, negative for a signal.
        interrupted: whether it was told to end.
        reason: why it failed, in words.
        seconds: how long it took.
        host: where it ran.
    """

    status: int
    interrupted: bool
    reason: str
    seconds: float
    host: str


@dataclass(frozen=True, slots=True)
class Job:
    """A run of a sweep; its folder holds everything that is known about it.

    Beside the files of a run (:class:`.RunDir`) there are ``job.json``, what to run,
    ``console.txt``, what it printed, and ``end.json``, how it ended.

    Attributes:
        overrides: of the command line, without those that say where it runs, or of the sweep.
        folder: named after the overrides, so that the same overrides are the same folder.
    """

    overrides: tuple[str, ...]
    folder: Path

    @classmethod
    def of(cls, overrides: Sequence[str], sweep: Path) -> Self:
        """Return the job of these overrides in the folder of a sweep."""
        own = tuple(item for item in overrides if not _elsewhere(item))
        return cls(own, sweep / _folder_name(own))

    @property
    def run(self) -> RunDir:
        """Its run directory."""
        return RunDir(self.folder)

    @property
    def console(self) -> Path:
        """What it printed."""
        return self.folder / "console.txt"

    @property
    def state(self) -> State:
        """How far it came, from its files alone."""
        if self.run.finished():
            return State.FINISHED
        end = self.end
        if end is None:  # never started, or its process was killed together with who watched it
            return State.INTERRUPTED if self.console.exists() else State.TO_DO
        return State.INTERRUPTED if end["interrupted"] else State.FAILED

    @property
    def end(self) -> End | None:
        """How the last attempt ended."""
        end: End | None = _read(self.folder / "end.json")
        return end

    @property
    def settings(self) -> dict[str, str]:
        """The overrides by key."""
        pairs = (item.lstrip("+~").partition("=") for item in self.overrides)
        return {key: value for key, _, value in pairs}

    def command(self, module: str) -> str:
        """Return the command line that does the same as a single run."""
        return shlex.join([*spoken(module), *self.overrides])

    def write(self, module: str, extra: Sequence[str]) -> None:
        """Write what to run, for the process that will run it.

        Args:
            module: of the command.
            extra: overrides that only where it runs asks for.
        """
        folder = str(self.folder.resolve()).replace("\\", "\\\\").replace('"', '\\"')
        command = [
            *(sys.executable, "-m", module, *self.overrides, *extra),
            f'hydra.run.dir="{folder}"',
        ]
        what = {"command": command, "cwd": os.getcwd()}
        write_text(self.folder / "job.json", json.dumps(what, indent=1) + "\n")

    def begin(self) -> Command:
        """Return what to run; from here on the job has not ended."""
        (self.folder / "end.json").unlink(missing_ok=True)
        what: Command | None = _read(self.folder / "job.json")
        assert what is not None, f"{self.folder}: no job.json"
        return what

    def finish(self, **end: object) -> None:
        """Write how the attempt ended."""
        write_text(self.folder / "end.json", json.dumps(end) + "\n")


def names(keys: Iterable[str]) -> dict[str, str]:
    """Return a short name for each key: its last part, where that says which one it is."""
    last = {key: key.rpartition(".")[2] for key in keys}
    counts = Counter(last.values())
    return {key: name if counts[name] == 1 else key for key, name in last.items()}


def short(value: str) -> str:
    """Return the value of an override as people read it: four digits of a number."""
    try:
        number = float(value)
    except ValueError:
        return value
    return value if len(value) <= len(f"{number:.4g}") else f"{number:.4g}"


def _elsewhere(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return key in ("sweep", "run.root") or key.startswith("sweep.")


def _folder_name(overrides: Sequence[str]) -> str:
    pairs = (item.partition("=") for item in overrides)
    words = [f"{key.rpartition('.')[2]}-{value}" for key, _, value in pairs]
    readable = _ODD.sub("-", "_".join(words).replace("_", " ")).strip("-")[:_READABLE]
    digest = hashlib.sha256("\0".join(sorted(overrides)).encode()).hexdigest()[:8]
    return f"{readable.rstrip('-.')}-{digest}".lstrip("-.")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
