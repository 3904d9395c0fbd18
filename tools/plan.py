"""Predict memory and time of a run: ``r1reward plan model=qwen2_5_vl_7b cluster=gpu8``.

Keys of conf/plan.yaml and of training are given alike. Exit status: 0 when it fits, also tightly,
1 when it does not, 2 for a configuration that cannot be planned.
"""

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from r1reward.cli.command import user_errors
from r1reward.config.cluster import resolve_cluster
from r1reward.config.compose import compose_config
from r1reward.core.rows import count_rows
from r1reward.machine.console import console_on
from r1reward.machine.gpus import ask
from r1reward.plan import Plan, gpu_of, load_settings, plan_evaluation, plan_sft, plan_training
from r1reward.plan.advice import advise
from r1reward.plan.hardware import GIB, hardware_here
from r1reward.plan.settings import split_overrides

CONFIG = "train"
_SHARED = ("model", "cluster", "gpus")  # what a cold start is given too


def main() -> None:
    """Compose, plan, and print tables and one sentence."""
    with user_errors():
        verdict = show(console_on(sys.stdout), sys.argv[1:])
    raise SystemExit(1 if verdict == "does not fit" else 0)


def show(console: Console, overrides: list[str]) -> str:
    """Print the plan of the overrides; return its verdict."""
    ours, given = split_overrides(overrides)
    trainings = _on_this_machine(given)
    settings = load_settings(ours)
    cfg = compose_config(trainings, config_name=CONFIG)
    cfg.run.dir = "runs/<experiment>/<time>"
    cfg.run.name = "<experiment>"
    OmegaConf.resolve(cfg)
    chosen = gpu_of(cfg)
    rows = {f"{part}_rows": _rows(cfg.data[f"{part}_files"]) for part in ("train", "val")}

    def planned(config: DictConfig) -> Plan:
        return plan_training(config, chosen, settings, **rows)

    plan = planned(cfg)
    cold_start = plan_sft(_cold_start(cfg, trainings), chosen, settings)
    evaluation = plan_evaluation(cfg, chosen, settings)
    console.print(memory_table(plan), time_table(plan), run_table(plan, cold_start, evaluation))
    for note in plan.notes:
        console.print(f"- {note}", markup=False)
    for part, known in rows.items():
        if known is None:
            name = part.removesuffix("_rows")
            console.print(
                f"- data.{name}_files are not there: {settings.work[part]:,} rows (work.{part})",
                markup=False,
            )
    changes, better = advise(cfg, planned)
    console.print(sentence(plan, changes, better), markup=False)
    return plan.verdict


def _on_this_machine(overrides: list[str]) -> list[str]:
    """Return the overrides, with this machine and its GPU where no other is named."""
    found = resolve_cluster(overrides)
    names = ask("name")
    if found == overrides or not names or any(item.startswith("hardware=") for item in found):
        return found
    return [*found, f"hardware={hardware_here(names)}"]


def memory_table(plan: Plan) -> Table:
    """Return GiB of the fullest GPU: a row a part, a column a phase."""
    title = f"GiB of each GPU ({plan.gpus} x {plan.gpu.name}, {plan.gpu.memory / GIB:.1f} GiB)"
    table = Table("part", title=title, title_justify="left")
    for phase in plan.bytes:
        table.add_column(phase, justify="right")
    for part in dict.fromkeys(part for parts in plan.bytes.values() for part in parts):
        sizes = (parts.get(part, 0) / GIB for parts in plan.bytes.values())
        table.add_row(part, *(f"{size:.1f}" if size else "" for size in sizes))
    table.add_section()
    totals = (sum(parts.values()) / GIB for parts in plan.bytes.values())
    table.add_row("all", *(f"{total:.1f}" for total in totals))
    return table


def time_table(plan: Plan) -> Table:
    """Return the seconds of one step by phase."""
    table = Table("phase", title="one training step", title_justify="left")
    table.add_column("seconds", justify="right")
    for name, seconds in plan.seconds.items():
        table.add_row(name, f"{seconds:.1f}")
    table.add_section()
    table.add_row("all", f"{sum(plan.seconds.values()):.1f}")
    return table


def run_table(*plans: Plan) -> Table:
    """Return the hours of training, cold start and evaluation by activity."""
    table = Table("run", "GPUs", "steps", "hours", "of these", "memory", title_justify="left")
    table.title = "whole runs"
    for name, plan in zip(("training", "cold start (SFT)", "evaluation"), plans, strict=True):
        parts = ", ".join(f"{what} {_hours(s)}" for what, s in plan.run_seconds.items() if s)
        steps = f"{plan.steps:,}" if plan.steps > 1 else ""
        table.add_row(name, str(plan.gpus), steps, f"{plan.hours:.2f}", parts, plan.verdict)
    return table


def sentence(plan: Plan, changes: dict[str, object], better: Plan) -> str:
    """Return whether it fits, what to change, and how sure that is."""
    phase, most = plan.peak
    memory, time = plan.uncertainty
    said = (
        f"{plan.verdict}: at most {most / GIB:.1f} of {plan.gpu.memory / GIB:.1f} GiB ({phase}); "
        f"{sum(plan.seconds.values()):.0f} s a step, {plan.hours:.1f} h in all. "
        f"Memory is +-{memory:.0%}, time +-{time:.0%}; nobody has measured what conf/plan.yaml "
        "calls assumed."
    )
    for blocker in plan.blockers:
        said += f"\nIt will not start: {blocker}."
    if plan.verdict == "fits":
        return said
    if better.verdict == "does not fit" or not changes:
        return f"{said}\nNo setting found makes it fit safely: more or larger GPUs will."
    keys = " ".join(f"{key}={str(value).lower()}" for key, value in changes.items())
    return (
        f"{said}\nBetter ({better.verdict}, {better.peak[1] / GIB:.1f} GiB, "
        f"{sum(better.seconds.values()):.0f} s a step, {better.host_bytes / GIB:.0f} GiB of host "
        f"memory a machine): {keys}"
    )


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def _cold_start(cfg: DictConfig, overrides: list[str]) -> DictConfig:
    """Return the cold start's configuration for the same model and machine."""
    shared = [item for item in overrides if item.partition("=")[0] in _SHARED]
    sft = compose_config([*shared, "data=reasoning"], config_name="sft")
    sft.run.dir, sft.run.name = "<dir>", "<name>"
    sft.policy.path = cfg.actor_rollout_ref.model.path
    sft.gpus, sft.trainer.nnodes = cfg.trainer.n_gpus_per_node, cfg.trainer.nnodes
    OmegaConf.resolve(sft)
    return sft


def _rows(files: Any) -> int | None:
    """Return how many rows data files have, a path or several; None where one is not there."""
    paths = [Path(path) for path in ([files] if isinstance(files, str) else files)]
    if not all(path.exists() for path in paths):
        return None
    return sum(map(count_rows, paths))


if __name__ == "__main__":
    main()
