"""Run a recipe from the first stage to the last: ``r1reward recipe recipe=quickstart``.

``--dry-run`` prints the stages, their inputs, and what is done. The same command goes on where it
stopped. Exit status: 0 when every stage is done, 2 for a recipe that cannot be run, else that of
the stage that failed.
"""

import subprocess
import sys
import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from r1reward.cli.catalog import find
from r1reward.cli.command import error, run_command
from r1reward.config.compose import compose_config
from r1reward.core.errors import ConfigError
from r1reward.machine.console import clock, console_on
from r1reward.plan import Plan, gpu_of, load_settings, plan_evaluation, plan_sft, plan_training
from r1reward.plan.hardware import GIB
from r1reward.recipes.pipeline import Pipeline, Stage

_DRY_RUN = "--dry-run"
_PLANS = {"training": plan_training, "sft": plan_sft, "evaluation": plan_evaluation}


def build(cfg: DictConfig) -> Pipeline:
    """Return the pipeline that the configuration describes.

    Raises:
        ConfigError: when it describes none.
    """
    try:
        stages = [Stage(name=str(name), **given) for name, given in cfg.stages.items()]
    except TypeError as problem:  # a key that a stage does not have, or lacks
        raise ConfigError(f"stages: {problem}") from None
    return Pipeline(stages, Path(cfg.work).resolve())


def chosen(pipeline: Pipeline, until: str | None) -> list[str]:
    """Return the names of the stages up to ``until``, that one included."""
    names = list(pipeline.stages)
    if until is None:
        return names
    if until not in names:
        raise ConfigError(f"until={until}: the stages are {', '.join(names)}")
    return names[: names.index(until) + 1]


def run(cfg: DictConfig) -> None:
    """Run what is not done yet.

    Raises:
        SystemExit: with the status of a stage that failed.
    """
    console, pipeline = console_on(sys.stdout), build(cfg)
    names = chosen(pipeline, cfg.until)
    missing = {path for name in names for path in pipeline.missing[name]}
    if missing:
        raise ConfigError(
            "not there: " + ", ".join(sorted(missing)) + f". {_DRY_RUN} says which stage reads it."
        )
    spent = {name: _do(console, pipeline, name) for name in names}
    console.print(result(pipeline, spent))
    console.print(str(pipeline.folder(names[-1]) / pipeline.stages[names[-1]].output), markup=False)


def _do(console: Console, pipeline: Pipeline, name: str) -> float | None:
    """Run the stage unless it is done; return the seconds it took."""
    stage = pipeline.stages[name]
    number = f"{list(pipeline.stages).index(name) + 1}/{len(pipeline.stages)}"
    if pipeline.done(name):
        console.print(f"[bold]{number} {name}[/] done before")
        return None
    console.print(f"[bold]{number} {name}[/] {stage.about}", highlight=False)
    began = time.monotonic()
    program = _program(pipeline.stages[name].run[0])
    command = [sys.executable, "-m", *program, *pipeline.command(name)[1:]]
    pipeline.work.mkdir(parents=True, exist_ok=True)
    status = subprocess.run(command).returncode
    if status:
        error(f"{name} failed (status {status}); the same command goes on from there")
        raise SystemExit(max(status, 1))
    seconds = time.monotonic() - began
    pipeline.finish(name, seconds)
    return seconds


def _program(name: str) -> list[str]:
    return ["r1reward", name] if find(name) else [name]


def result(pipeline: Pipeline, spent: dict[str, float | None]) -> Table:
    """Return a row for each stage that is done."""
    table = Table(title=str(pipeline.work), title_justify="left", title_style="bold")
    table.add_column("stage")
    table.add_column("time", justify="right")
    table.add_column("result", overflow="fold")
    for name, seconds in spent.items():
        output = pipeline.folder(name).name + "/" + pipeline.stages[name].output
        table.add_row(name, "done before" if seconds is None else clock(seconds), output)
    table.add_row("all", clock(sum(filter(None, spent.values()))), "")
    return table


def dry_run(cfg: DictConfig) -> None:
    """Print what would be done, and what it is expected to take."""
    console, pipeline = console_on(sys.stdout), build(cfg)
    names = chosen(pipeline, cfg.until)
    table = Table(title=str(pipeline.work), title_justify="left", title_style="bold")
    for column in ("stage", "what", "reads", "state", "GiB of a GPU", "hours"):
        table.add_column(column, overflow="fold")
    hours = 0.0
    for name in names:
        stage, done = pipeline.stages[name], pipeline.done(name)
        expected = _plan(cfg, stage)
        absent = [path for path in stage.inputs if path in pipeline.missing[name]]
        state = "done" if done else "inputs missing" if absent else "to do"
        reads = ", ".join([*(f"${parent}" for parent in stage.parents), *stage.inputs])
        needs = ("", "")
        if expected is not None:
            needs = (f"{expected.peak[1] / GIB:.0f} of {expected.gpu.memory / GIB:.0f}",
                     f"{expected.hours:.1f} on {expected.gpus}")  # fmt: skip
            hours += 0 if done else expected.hours
        table.add_row(name, stage.about, reads, state, *needs)
    console.print(table)
    for name in names:
        program, *arguments = pipeline.stages[name].run
        words = " ".join([*_program(program), *arguments])
        console.print(f"{name}: {words}", markup=False, soft_wrap=True)
    if missing := {path for name in names for path in pipeline.missing[name]}:
        console.print(f"not there yet: {', '.join(sorted(missing))}", markup=False)
    if hours:
        console.print(
            f"to go: about {hours:.1f} hours (time +-30%; `r1reward plan` shows the parts)"
        )


def _plan(cfg: DictConfig, stage: Stage) -> Plan | None:
    """Return what the stage is expected to take of GPUs, None when it takes none."""
    if not stage.plan or not cfg.plan:
        return None
    kind, *settings = stage.plan
    if kind not in _PLANS:
        raise ConfigError(f"stages.{stage.name}.plan: {kind} is none of {', '.join(_PLANS)}")
    given = list(cfg.plan)
    if kind == "sft":  # its tree is another one; what lies in other stages' folders is no matter
        given = [text for text in stage.run[1:] if "$" not in text]
    training = compose_config(given, config_name="sft" if kind == "sft" else "train")
    training.run.dir = training.run.name = stage.name
    OmegaConf.resolve(training)
    return _PLANS[kind](training, gpu_of(training), load_settings(settings))


def main() -> None:
    """Run the command line."""
    action = run
    if _DRY_RUN in sys.argv:
        sys.argv.remove(_DRY_RUN)
        action = dry_run
    run_command("recipe", action)


if __name__ == "__main__":
    main()
