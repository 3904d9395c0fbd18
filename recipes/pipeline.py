"""Stages of a recipe: each is one command, done once for the same command and the same inputs.

A stage's key is a hash of its command, of the files it reads and of the keys of the stages it
builds on; its results lie in ``<work>/<stage>-<key>``. So nothing is ever overwritten, a finished
stage is skipped, one that was stopped goes on in its own folder (every command here resumes), and
whatever changes makes a new folder, from there on. The code and its defaults are not in the key:
after an update that matters, take another ``work``.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Template

from r1reward.config.compose import PACKAGE
from r1reward.core.errors import ConfigError
from r1reward.store.files import write_text

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_KEY = 10  # hexadecimal digits
_OURS = {"out", "package"}  # names in commands that are no stages


@dataclass(frozen=True, slots=True)
class Stage:
    """What a recipe says of one stage.

    Attributes:
        name: in commands of later stages, ``$name`` is its folder.
        about: what it does, for a person.
        run: a command of r1reward, or a module, and its arguments; ``$out`` is the stage's own
            folder, ``$package`` that of this package.
        inputs: files and folders that it reads beside those of earlier stages, with ``$package``
            as in a command.
        output: what is in its folder when it has succeeded.
        plan: what `r1reward plan` calls it (training, sft or evaluation), and overrides of
            conf/plan.yaml; nothing for a stage that takes no GPU.
    """

    name: str
    about: str
    run: Sequence[str]
    output: str
    inputs: Sequence[str] = ()
    plan: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in _OURS:
            raise ConfigError(f"stages.{self.name}: a name has small letters, digits and _")
        if not self.run:
            raise ConfigError(f"stages.{self.name}.run: give a command and its arguments")

    @property
    def parents(self) -> list[str]:
        """The stages that its command names."""
        found = {name for text in self.run for name in Template(text).get_identifiers()}
        return sorted(found - _OURS)


class Pipeline:
    """The stages of one recipe in their order, and what of them is done in ``work``.

    Args:
        stages: earlier ones first.
        work: folder of all results.

    Raises:
        ConfigError: when a stage builds on one that does not come before it.
    """

    def __init__(self, stages: Sequence[Stage], work: Path) -> None:
        self.stages, self.work = {stage.name: stage for stage in stages}, work
        if not stages or len(self.stages) < len(stages):
            raise ConfigError("stages: give one or more, each with a name of its own")
        before: set[str] = set()
        for stage in stages:
            if strange := set(stage.parents) - before:
                raise ConfigError(
                    f"stages.{stage.name}.run names ${min(strange)}, which is no earlier stage"
                )
            before.add(stage.name)

    @cached_property
    def missing(self) -> dict[str, list[str]]:
        """For each stage, inputs that are not there: its own ones, and those of its parents."""
        found: dict[str, list[str]] = {}
        for name, stage in self.stages.items():
            own = [given for given in stage.inputs if not _path(given).exists()]
            above = [path for parent in stage.parents for path in found[parent]]
            found[name] = list(dict.fromkeys([*above, *own]))
        return found

    @cached_property
    def keys(self) -> Mapping[str, str]:
        """For each stage whose inputs are there, its key."""
        found: dict[str, str] = {}
        for name, stage in self.stages.items():
            if not self.missing[name]:
                known = {parent: found[parent] for parent in stage.parents}
                inputs = {given: content_hash(_path(given)) for given in stage.inputs}
                content = json.dumps([list(stage.run), known, inputs], sort_keys=True)
                found[name] = hashlib.sha256(content.encode()).hexdigest()[:_KEY]
        return found

    def folder(self, name: str) -> Path:
        """Return where the stage's results are or will be."""
        return self.work / f"{name}-{self.keys.get(name, '?' * _KEY)}"

    def command(self, name: str) -> list[str]:
        """Return the command and its arguments, with the folders filled in."""
        stage = self.stages[name]
        folders = {parent: str(self.folder(parent)) for parent in stage.parents}
        folders |= {"out": str(self.folder(name)), "package": str(PACKAGE)}
        return [Template(text).substitute(folders) for text in stage.run]

    def done(self, name: str) -> dict[str, object] | None:
        """Return what is on record about the finished stage, None when it is still to do."""
        if name not in self.keys or not (self.folder(name) / self.stages[name].output).exists():
            return None
        try:
            record: dict[str, object] = json.loads(self._record(name).read_bytes())
        except (OSError, ValueError):
            return None
        return record

    def finish(self, name: str, seconds: float) -> None:
        """Put on record that the stage has succeeded.

        Raises:
            ConfigError: when its output is not there.
        """
        output = self.folder(name) / self.stages[name].output
        if not output.exists():
            raise ConfigError(f"{name} ended well, but did not write {output}")
        record = {
            "schema": 1,
            "stage": name,
            "command": self.command(name),
            "inputs": list(self.stages[name].inputs),
            "seconds": round(seconds, 1),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        write_text(self._record(name), json.dumps(record, indent=1) + "\n")

    def _record(self, name: str) -> Path:
        folder = self.folder(name)
        return folder.with_name(f"{folder.name}.json")


def _path(given: str) -> Path:
    return Path(Template(given).substitute(package=PACKAGE))


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for file in sorted(_files(path)):
        digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
        with open(file, "rb") as content:
            hashlib.file_digest(content, lambda: digest)
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    yield from (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
