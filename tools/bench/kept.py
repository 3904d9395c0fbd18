"""Figures that a later run is held against: ``r1reward bench-compare FILE [--keep NAME]``.

A benchmark writes ``bench.json``: what it measured, on what machine, with what settings. ``--keep``
puts its figures into ``recipes/benchmarks/NAME.json``; from then on every run with the same
settings on the same kind of GPU is compared with them. Exit status: 0 when no figure is worse than
its tolerance allows, or nothing comparable is kept, 1 when one is, 2 for a file that is no result.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from r1reward.cli.command import error, user_errors
from r1reward.config.compose import REPO
from r1reward.core.errors import ConfigError
from r1reward.machine.console import console_on
from r1reward.store.files import write_text

SCHEMA = 1
KEPT = REPO / "recipes" / "benchmarks"
_KEYS = ("schema", "bench", "settings", "machine", "figures")


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
    machine: Mapping[str, Any],
    figures: Mapping[str, Figure],
    **more: Any,
) -> dict[str, Any]:
    """Return what ``bench.json`` holds.

    Args:
        bench: name of the benchmark.
        cfg: its configuration; where results lie is no part of it, nor is where the repository is.
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


def _portable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _portable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_portable(one) for one in value]
    return value.replace(f"{REPO}/", "") if isinstance(value, str) else value


def file_of(cfg: DictConfig) -> Path:
    """Return where this run of a benchmark writes its result: ``<out>/<time>/bench.json``."""
    return Path(cfg.out).resolve() / time.strftime("%Y%m%d-%H%M%S") / "bench.json"


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Write :func:`content`, and the folder where it is not there."""
    write_text(path, json.dumps(found, indent=1) + "\n")


def kept_for(found: Mapping[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Return the kept result of the same benchmark, settings and GPUs; None where there is none."""
    for path in sorted(KEPT.glob("*.json")):
        kept = _read(path)
        if all(kept[key] == found[key] for key in ("bench", "settings")) and _alike(kept, found):
            return path, kept
    return None


def _alike(kept: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether two results were measured on the same GPUs, or as many of the same cores."""
    parts = ("gpus",) if kept["machine"]["gpus"] else ("gpus", "cpu", "cores")
    return all(kept["machine"][part] == found["machine"][part] for part in parts)


def beside(found: Mapping[str, Any], kept: Mapping[str, Any]) -> tuple[Table, list[str]]:
    """Return a row for each kept figure, and the names of those that are now worse than allowed."""
    table = Table(title=f"beside {_where(kept)}", title_justify="left")
    for name in ("", "kept", "now", "worse by", "allowed"):
        table.add_column(name, justify="right" if name else "left")
    bad = []
    for name, figure in ((name, Figure(**one)) for name, one in kept["figures"].items()):
        now = found["figures"].get(name, {}).get("value")
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
    found = _read(path)
    bad: list[str] = []
    if pair := kept_for(found):
        table, bad = beside(found, pair[1])
        console.print(table)
    console.print(str(path), markup=False, soft_wrap=True)
    if bad:
        error(f"worse than {pair[0].name if pair else ''} allows: {', '.join(bad)}")
        raise SystemExit(1)


def _where(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    names = list(dict.fromkeys(machine["gpus"]))
    gpus = [f"{machine['gpus'].count(name)} x {name}" for name in names]
    return ", ".join([*gpus, machine["cpu"], f"{machine['cores']} cores", machine["date"]])


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        missing = [key for key in _KEYS if key not in found]
    except (OSError, ValueError) as problem:
        raise ConfigError(f"{path}: {problem}") from None
    if missing or found["schema"] != SCHEMA:
        raise ConfigError(f"{path}: no result of a benchmark (schema {SCHEMA}; lacks {missing})")
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Compare a result with the kept one, or keep it.")
    parser.add_argument("file", type=Path, help="bench.json of a run")
    parser.add_argument("--keep", metavar="NAME", help="keep it in recipes/benchmarks/NAME.json")
    options = parser.parse_args()
    with user_errors():
        if options.keep is None:
            return conclude(console_on(sys.stdout), options.file)
        write(KEPT / f"{options.keep}.json", _read(options.file))


if __name__ == "__main__":
    main()
