"""Write the gallery of experiments, ``recipes/gallery.md``: ``r1reward gallery [RUN ...]``.

Purpose and differences come from ``conf``, results from ``recipes/gallery.json`` and the study in
``recipes/ablation``; a finished run that is named becomes the last result of its experiment.
"""

import argparse
import functools
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from omegaconf import DictConfig, OmegaConf

from r1reward.cli.command import user_errors
from r1reward.config.compose import CONF, checkout, compose_config, package_file
from r1reward.config.tree import differences
from r1reward.core.errors import UserError
from r1reward.core.intervals import wilson_interval
from r1reward.report.history import story
from r1reward.run.summary import loss_after
from r1reward.store.files import write_text
from r1reward.store.rundir import RunDir

EXPERIMENTS = CONF / "experiment"
PAGE = package_file("recipes/gallery.md")
RESULTS = package_file("recipes/gallery.json")
_PLACES = ("hydra.run.dir=", "run.root=")
STUDY = package_file("recipes/ablation/summary.json")
_COMMAND = re.compile(r":?\s*(make (?:train|sft) EXP=\S+(?: [A-Z_]+=\S+)*)\s*")
_HEAD = """<!-- Written by `make gallery`: edit the experiments. -->

# Experiments

Every experiment of `conf/experiment`: what it is for, what it changes of the first one of its kind
(training, cold start), and its last result: accuracy on validation pairs or loss on validation
records, with 95% intervals. The study is the base setting of
[recipes/ablation](ablation/README.md): a plain loop over the functions of training, without its
engines, over seeds. `make show EXP=...` prints all settings of an experiment, and
`make gallery RUN=runs/...` keeps a finished run's result."""


class NoResultError(UserError):
    """A directory that has no result; the message says why."""


class Result(TypedDict, total=False):
    """The last result of an experiment.

    Attributes:
        date: on which it began.
        machine: in words.
        revision: of the code.
        overrides: of the command line, without the places.
        steps: of training.
        first: right answers and pairs of the first validation.
        last: of the last one.
        loss: after a cold start, which validates no pairs.
    """

    date: str
    machine: str
    revision: str | None
    overrides: list[str]
    steps: int
    first: list[int]
    last: list[int]
    loss: float


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of training.

    Attributes:
        config: its configuration in ``conf``, and its target in the Makefile.
        base: the experiment that is all defaults.
    """

    config: str
    base: str

    def names(self) -> list[str]:
        """Return the experiments whose command is this kind's, the base first."""
        names = [
            path.stem
            for path in sorted(EXPERIMENTS.glob("*.yaml"))
            if about(_text(path.stem))[1].startswith(f"make {self.config} ")
        ]
        return sorted(names, key=lambda name: name != self.base)

    def changed(self, name: str) -> dict[str, tuple[object, object]]:
        """Return what the experiment changes: key -> (value in the base, its value)."""
        return differences(_composed(self, name), _composed(self, self.base))


@functools.cache
def _composed(kind: Kind, name: str) -> DictConfig:
    # The CPU: the same composition on every machine.
    return compose_config([f"experiment={name}", "cluster=cpu"], config_name=kind.config)


KINDS = (Kind("train", "stablereinforce"), Kind("sft", "cold_start"))


def about(text: str) -> tuple[str, str]:
    """Return purpose and command of an experiment, from the comment that its file begins with."""
    lines = text.splitlines()[1:]
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    words = " ".join(line.removeprefix("#").strip() for line in lines[:end])
    found = _COMMAND.search(words)
    if found is None:
        return words, ""
    before, after = words[: found.start()].rstrip(" ."), words[found.end() :]
    return f"{before}. {after}".strip(), found[1]


def page() -> str:
    """Return the gallery in Markdown."""
    results, study = _read(RESULTS, {}), {cell["variant"]: cell for cell in _cells()}
    rows: list[str] = []
    sections: list[str] = []
    for kind in KINDS:
        for name in kind.names():
            last = results.get(f"{kind.config}/{name}")
            cell = study.get(name) if kind.config == "train" else None
            found = [_ending(last) if last else "-", _mean(cell) if cell else "-"]
            rows.append(f"| [{name}](#{name}) | {len(kind.changed(name))} | {' | '.join(found)} |")
            sections += _section(kind, name, last)
    head = ["| experiment | keys changed | last run | study |", "| --- | --- | --- | --- |"]
    return "\n\n".join([_HEAD, "\n".join([*head, *rows]), *sections]) + "\n"


def _section(kind: Kind, name: str, last: Result | None) -> Iterator[str]:
    purpose, command = about(_text(name))
    yield f"## {name}"
    yield purpose
    yield f"```bash\n{command}\n```"
    if changed := kind.changed(name):
        rows = [
            f"| `{key}` | {_value(base)} | {_value(value)} |"
            for key, (base, value) in sorted(changed.items())
        ]
        yield "\n".join([f"| changes | {kind.base} | {name} |", "| --- | --- | --- |", *rows])
    if last:
        before = f", {_accuracy(*last['first'])} before" if "first" in last else ""
        yield (
            f"Last run, {last['date']}, {last['machine']}, revision {last['revision']}, "
            f"`{' '.join(last['overrides'])}`: {_ending(last)} after step {last['steps']}{before}."
        )


def _text(name: str) -> str:
    return (EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8")


def _ending(result: Result) -> str:
    return _accuracy(*result["last"]) if "last" in result else f"loss {result['loss']:.3g}"


def _accuracy(correct: int, n: int) -> str:
    low, high = wilson_interval(correct, n)
    return f"{correct / n:.1%} ({low:.1%} to {high:.1%}, n = {n})"


def _mean(cell: Mapping[str, Any]) -> str:
    mean = cell["accuracy"]
    between = "" if mean["low"] is None else f"{mean['low']:.1%} to {mean['high']:.1%}, "
    return f"{mean['value']:.1%} ({between}{mean['n']} seeds)"


def _cells() -> list[Mapping[str, Any]]:
    return [cell for cell in _read(STUDY, []) if cell["setting"] == "base"]


def _read(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else otherwise


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`".replace("|", "\\|")


def keep(run_dir: RunDir) -> None:
    """Make a finished run the last result of its experiment.

    Raises:
        NoResultError: for a directory without one.
    """
    told = story(run_dir, [])
    if told.state != "finished":
        raise NoResultError(f"{run_dir.root}: not a finished run")
    config = OmegaConf.load(run_dir.root / "config.yaml")
    _, command, *overrides = told.start["command"]
    result: Result = {
        "date": time.strftime("%Y-%m-%d", time.gmtime(told.begun)),
        "machine": told.start["machine"],
        "revision": told.start["revision"],
        # Where it lay is no part of what it was.
        "overrides": [one for one in overrides if not one.startswith(_PLACES)],
        "steps": int(told.steps[-1]),
    }
    if ends := told.validations:
        first, last = ends[0], ends[-1]
        result["first"] = [first["correct"], first["n"]]
        result["last"] = [last["correct"], last["n"]]
    else:
        result["loss"] = loss_after(run_dir)
    known = _read(RESULTS, {}) | {f"{command}/{config.run.name}": result}
    write_text(RESULTS, json.dumps(dict(sorted(known.items())), indent=1) + "\n")


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: with status 2 outside a checkout, or for a directory that is no finished run.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="*", help="finished runs, whose results to keep")
    runs = parser.parse_args().runs
    with user_errors():
        root = checkout().resolve()
        for run in runs:
            keep(RunDir(run))
        write_text(PAGE, page())
    print(PAGE.relative_to(root))


if __name__ == "__main__":
    main()
