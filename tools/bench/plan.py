"""Distance of a plan from a real run: ``r1reward bench-plan model=tiny cluster=gpu1``.

Keys of conf/bench_plan.yaml and of training are given alike. Trains for a few steps, reads the
memory of the GPUs meanwhile, and sets both beside what ``make plan`` says of the same configuration
and the lengths that occurred. Memory is what nvidia-smi reports, which counts everything on the
GPU; a phase has the most of any GPU while it lasted. Exit status: 1 when peak or step are further
off than conf/plan.yaml says, or worse than a kept run's.
"""

import json
import math
import random
import shlex
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from r1reward.cli.command import error, run_command
from r1reward.config.cluster import resolve_cluster
from r1reward.config.compose import compose_config
from r1reward.consistency.base import Agreement
from r1reward.core.errors import ConfigError
from r1reward.core.verdict import ParseFailure, Verdict
from r1reward.machine.console import console_on
from r1reward.machine.gpus import ask
from r1reward.plan import Plan, gpu, load_settings, plan_training
from r1reward.plan.hardware import GIB, hardware_here
from r1reward.plan.settings import split_overrides
from r1reward.rewards.base import RewardParts
from r1reward.rewards.r1_reward import R1Reward
from r1reward.store.rundir import JournalRow, RunDir
from r1reward.tools.bench.kept import Figure, conclude, content, file_of, write
from r1reward.tools.bench.machine import here

_PACKAGES = ("verl", "vllm", "torch", "transformers", "ray")
# Phases of a plan, with verl's timers, in their order within a step.
PHASES = {
    "generation": "gen",
    "old log-probs": "old_log_prob",
    "reference": "ref",
    "update": "update_actor",
    "weight sync": "update_weights",
}
_ORDER = ("gen", "old_log_prob", "ref", "adv", "update_actor", "update_weights")
_EDGE = 0.25  # seconds, or a tenth of a phase: moments taken from timers may be off by so much


class Coin(R1Reward):
    """Rewards by chance: a model of random weights cannot answer, and must learn something."""

    def score(
        self, verdict: Verdict | ParseFailure, label: int, agreement: Agreement
    ) -> RewardParts:
        """Return the true parts, with a final reward of 0 or 1."""
        parts = super().score(verdict, label, agreement)
        chance = float(random.random() < 0.5)  # noqa: S311 - no secret
        return replace(parts, final=chance)


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes in use on one GPU at a moment (seconds since 1970)."""

    moment: float
    bytes: float


@contextmanager
def watched(every: float) -> Iterator[list[Sample]]:
    """Read the memory of the GPUs, ``every`` so many seconds, until the block ends."""
    command = ["nvidia-smi", f"--id={','.join(ask('index'))}", f"--loop-ms={round(1000 * every)}"]
    command += ["--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    found: list[Sample] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = process.stdout
        assert lines is not None

        def read() -> None:
            for line in lines:
                found.append(Sample(time.time(), float(line) * 2**20))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield found
        finally:
            process.terminate()
            reader.join()


def windows(row: JournalRow) -> dict[str, tuple[float, float]]:
    """Return when each phase began and ended: backwards from the moment that a step was over."""
    found, end = {}, float(row["time"])
    for phase in reversed(_ORDER):
        seconds = float(row["metrics"].get(f"timing_s/{phase}", 0.0))
        found[phase] = (end - seconds, end)
        end -= seconds
    return found


def peaks(samples: Sequence[Sample], rows: Sequence[JournalRow]) -> dict[str, float]:
    """Return the most bytes of any GPU in each phase of the plan, over all steps."""
    found: dict[str, float] = {}
    for row in rows:
        moments = windows(row)
        for name, phase in PHASES.items():
            begin, end = moments[phase]
            edge = max(_EDGE, 0.1 * (end - begin))
            inside = [s.bytes for s in samples if begin + edge <= s.moment <= end - edge]
            if inside:
                found[name] = max(found.get(name, 0.0), *inside)
    return found


def lengths(rows: Sequence[JournalRow]) -> dict[str, float]:
    """Return the mean over the steps of the tokens that occurred: mean and longest of each kind."""
    return {
        f"{kind}_{which}": statistics.mean(
            float(row["metrics"][f"{kind}_length/{which}"]) for row in rows
        )
        for kind in ("prompt", "response")
        for which in ("mean", "max")
    }


def plan_of(
    overrides: Sequence[str], hardware: str, tokens: Mapping[str, float] | None = None
) -> Plan:
    """Return the plan of a run: for the lengths that occurred, or for those that are assumed.

    Raises:
        ConfigError: for what cannot be planned, or not be compared.
    """
    cfg = compose_config(overrides)
    cfg.run.dir = cfg.run.name = "bench"
    OmegaConf.resolve(cfg)
    settings = load_settings()
    if cfg.data.max_pixels is None:
        raise ConfigError("policy.max_pixels: say how large an image is; a plan needs its tokens")
    if tokens is None:
        return plan_training(cfg, gpu(hardware), settings)
    images = settings.work.images * cfg.data.max_pixels // 28**2
    if images > tokens["prompt_mean"]:
        raise ConfigError(
            f"policy.max_pixels is {images} tokens, and a prompt had {tokens['prompt_mean']:.0f}: "
            "images were smaller; raise policy.min_pixels, or lower policy.max_pixels"
        )
    longest = tokens["prompt_max"] + tokens["response_max"]
    settings.work.update(
        text_tokens=tokens["prompt_mean"] - images,
        response_tokens=tokens["response_mean"],
        tail=tokens["response_max"] / tokens["response_mean"],
        # the longest decides, where a micro-batch is padded
        padding=longest / (tokens["prompt_mean"] + tokens["response_mean"]),
    )
    return plan_training(cfg, gpu(hardware), settings)


@dataclass(frozen=True, slots=True)
class Row:
    """One phase: bytes and seconds, planned and measured; ``seen`` None where it was too short."""

    name: str
    planned: float
    seen: float | None
    seconds: float
    measured: float

    @property
    def off(self) -> tuple[float, float]:
        """By what shares of the measured the plan is off: memory, time."""
        memory = 0.0 if self.seen is None else self.planned / self.seen - 1
        return memory, self.seconds / self.measured - 1 if self.measured else math.inf


def rows_of(plan: Plan, seen: Mapping[str, float], seconds: Mapping[str, float]) -> list[Row]:
    """Return planned and measured of each phase, and of the whole."""
    planned = {name: sum(parts.values()) for name, parts in plan.bytes.items()}
    planned["update"] = max(planned["update"], planned["optimizer step"])
    found = [
        Row(name, planned[name], seen.get(name), plan.seconds[name], seconds[name])
        for name in PHASES
        if name in plan.seconds
    ]
    whole = sum(plan.seconds.values())
    peak = max(seen.values()) if seen else None
    return [*found, Row("step", plan.peak[1], peak, whole, seconds["step"])]


def table(rows: Sequence[Row], title: str) -> Table:
    """Return a row for each phase, the whole step last."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    columns = ("GiB planned", "measured", "off", "seconds planned", "measured", "off")
    for column in ("", *columns):
        shown.add_column(column, justify="right" if column else "left")
    for row in rows:
        memory, seconds = row.off
        seen = ("-", "-") if row.seen is None else (f"{row.seen / GIB:.1f}", f"{memory:+.0%}")
        times = (f"{row.seconds:.2f}", f"{row.measured:.2f}", f"{seconds:+.0%}")
        shown.add_row(row.name, f"{row.planned / GIB:.1f}", *seen, *times)
    return shown


def bench(cfg: DictConfig) -> None:
    """Run, plan, compare.

    Raises:
        ConfigError: when the run fails, naming its log.
        SystemExit: with status 1 when the plan is too far off, or the run worse than a kept one.
    """
    console, where = console_on(sys.stdout), here(_PACKAGES)
    if not where["gpus"]:
        raise ConfigError("no NVIDIA GPU here: nothing to hold a plan against")
    hardware = cfg.hardware or hardware_here(where["gpus"])
    overrides = resolve_cluster(
        [*cfg.fixed, *cfg.training, f"data.steps={cfg.warm_up + cfg.steps}"]
    )
    plan_of(overrides, hardware)  # or else say now what is wrong with it
    path = file_of(cfg)
    path.parent.mkdir(parents=True)
    run = RunDir(path.parent / "run")
    command = ["r1reward", "train", *overrides, f"hydra.run.dir={run.root}"]
    console.print(shlex.join(command), markup=False, soft_wrap=True)
    with watched(cfg.every) as samples:
        status = subprocess.run([sys.executable, "-m", *command]).returncode
    rows = [row for row in run.rows("train") if row["step"] > cfg.warm_up]
    if status or len(rows) != cfg.steps:
        raise ConfigError(f"the run failed (status {status}); {run.log} says why")
    tokens = lengths(rows)
    seconds = {
        name: statistics.mean(float(row["metrics"].get(f"timing_s/{timer}", 0.0)) for row in rows)
        for name, timer in {**PHASES, "step": "step"}.items()
    }
    plan = plan_of(overrides, hardware, tokens)
    compared = rows_of(plan, peaks(samples, rows), seconds)
    title = f"{plan.gpus} x {hardware}, {where['cpu']}, {where['cores']} cores, {where['date']}"
    console.print(table(compared, title))
    more = {"tokens": tokens, "rows": [rows_as(row) for row in compared]}
    write(path, content("plan", cfg, where, kept(compared), **more))
    far = [
        f"{what} {share:+.0%} (+-{allowed:.0%})"
        for what, share, allowed in zip(
            ("memory", "time"), compared[-1].off, plan.uncertainty, strict=True
        )
        if abs(share) > allowed
    ]
    if far:
        error(f"the plan is off by more than it says: {', '.join(far)}")
    conclude(console, path)
    if far:
        raise SystemExit(1)


def rows_as(row: Row) -> dict[str, object]:
    """Return a row for bench.json."""
    return {
        "phase": row.name, "planned_bytes": row.planned, "bytes": row.seen,
        "planned_seconds": row.seconds, "seconds": row.measured,
    }  # fmt: skip


def kept(rows: Sequence[Row]) -> dict[str, Figure]:
    """Return what later runs are held against: the step, and the memory at its peak."""
    step = rows[-1]
    figures = {"s a step": Figure(step.measured, 0.2)}
    if step.seen is not None:
        figures["GiB at the peak"] = Figure(step.seen / GIB, 0.05)
    return figures


def main() -> None:
    """Run the command."""
    ours, training = split_overrides(sys.argv[1:], "bench_plan")
    quoted = ",".join(json.dumps(override) for override in training)
    sys.argv[1:] = [*ours, f"training=[{quoted}]"]
    run_command("bench_plan", bench)


if __name__ == "__main__":
    main()
