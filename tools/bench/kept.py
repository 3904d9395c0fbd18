"""Figures that later runs of a benchmark are compared with.

A benchmark writes ``bench.json``: what it measured, on what machine, with what settings. Those that
are kept lie in ``recipes/benchmarks``; every run with the same settings on the same kind of GPU is
compared with them.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from r1reward.cli.command import error
from r1reward.config.compose import package_file
from r1reward.core.errors import ConfigError
from r1reward.store.files import write_text
from r1reward.tools.bench.machine import Machine

SCHEMA = 1
KEPT = package_file("recipes/benchmarks")
_RESOURCES = KEPT.parent.parent
_KEYS = ("schema", "bench", "settings", "machine", "figures")


class FigureRow(TypedDict):
    """A :class:`Figure` as JSON has it."""

    value: float
    tolerance: float
    better: str


class Result(TypedDict):
    """What every ``bench.json`` holds, whatever else is in it (see :func:`content`)."""

    schema: int
    bench: str
    settings: dict[str, object]
    machine: Machine
    figures: dict[str, FigureRow]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        value: in the unit that its name says.
        tolerance: the share by which a later one may be worse: what it varies by between runs.
        better: ``lower`` or ``higher``.
    """

    value: float
    tolerance: float
    better: str = "lower"

    def worse(self, now: float) -> float:
        """Return by what share ``now`` is worse than this one; negative where it is better."""
        change = now / self.value - 1
        return change if self.better == "lower" else -change


def content(
    bench: str,
    cfg: DictConfig,
    machine: Machine,
    figures: Mapping[str, Figure],
    **more: object,
) -> dict[str, object]:
    """Return what ``bench.json`` holds.

    Args:
        bench: name of the benchmark.
        cfg: its configuration; where results lie is no part of it, nor is where the package is.
        machine: of :func:`r1reward.tools.bench.machine.here`.
        figures: by name, unit included.
        more: whatever else is worth keeping in the run's own folder.
    """  # fmt: skip
    settings = OmegaConf.to_container(cfg)
    assert isinstance(settings, dict)
    kept = {key: _portable(value) for key, value in settings.items() if key != "out"}
    shown = {name: asdict(figure) for name, figure in figures.items()}
    return {"schema": SCHEMA, "bench": bench, "settings": kept, "machine": machine} | {
        "figures": shown,
        **more,
    }


def _portable(value: object) -> object:
    if isinstance(value, dict):
        return {key: _portable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_portable(one) for one in value]
    return value.replace(f"{_RESOURCES}/", "") if isinstance(value, str) else value


def file_of(cfg: DictConfig) -> Path:
    """Return where this run of a benchmark writes its result: ``<out>/<time>/bench.json``."""
    return Path(cfg.out).resolve() / time.strftime("%Y%m%d-%H%M%S") / "bench.json"


def write(path: Path, found: Mapping[str, object]) -> None:
    """Write :func:`content`, and the folder where it is not there."""
    write_text(path, json.dumps(found, indent=1) + "\n")


def kept_for(found: Result) -> tuple[Path, Result] | None:
    """Return the kept result of the same benchmark, settings and GPUs; None where there is none."""
    for path in sorted(KEPT.glob("*.json")):
        kept = read(path)
        same = (kept["bench"], kept["settings"]) == (found["bench"], found["settings"])
        if same and _alike(kept["machine"], found["machine"]):
            return path, kept
    return None


def _alike(one: Machine, other: Machine) -> bool:
    """Whether two machines have the same GPUs, or none and as many of the same cores."""
    cores = (one["cpu"], one["cores"]) == (other["cpu"], other["cores"])
    return one["gpus"] == other["gpus"] and (bool(one["gpus"]) or cores)


def beside(found: Result, kept: Result) -> tuple[Table, list[str]]:
    """Return a row for each kept figure, and the names of those that are now worse than allowed."""
    table = Table(title=f"beside {_where(kept)}", title_justify="left")
    for name in ("", "kept", "now", "worse by", "allowed"):
        table.add_column(name, justify="right" if name else "left")
    bad = []
    for name, figure in ((name, Figure(**one)) for name, one in kept["figures"].items()):
        now = found["figures"][name]["value"] if name in found["figures"] else None
        worse = float("inf") if now is None else figure.worse(now)
        mark = "[red]" if worse > figure.tolerance else ""
        if mark:
            bad.append(name)
        shown = "-" if now is None else f"{now:.4g}"
        share = "missing" if now is None else f"{mark}{worse:+.1%}"
        table.add_row(name, f"{figure.value:.4g}", shown, share, f"{figure.tolerance:.0%}")
    return table, bad


def conclude(console: Console, path: Path) -> None:
    """Set a result beside the kept one, where there is one, and say where it lies.

    Raises:
        SystemExit: with status 1 when a figure is worse than allowed.
    """
    found = read(path)
    bad: list[str] = []
    if pair := kept_for(found):
        table, bad = beside(found, pair[1])
        console.print(table)
    console.print(str(path), markup=False, soft_wrap=True)
    if bad:
        error(f"worse than {pair[0].name if pair else ''} allows: {', '.join(bad)}")
        raise SystemExit(1)


def _where(result: Result) -> str:
    machine = result["machine"]
    names = list(dict.fromkeys(machine["gpus"]))
    gpus = [f"{machine['gpus'].count(name)} x {name}" for name in names]
    return ", ".join([*gpus, machine["cpu"], f"{machine['cores']} cores", machine["date"]])


def read(path: Path) -> Result:
    """Return a result.

    Raises:
        ConfigError: when it is none.
    """
    try:
        found: Result = json.loads(path.read_bytes())
        missing = [key for key in _KEYS if key not in found]
    except (OSError, ValueError) as problem:
        raise ConfigError(f"{path}: {problem}") from None
    if missing or found["schema"] != SCHEMA:
        raise ConfigError(f"{path}: no result of a benchmark (schema {SCHEMA}; lacks {missing})")
    return found
