"""Launch of one training run: preflight, training, progress, summary."""

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from itertools import dropwhile, islice
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console, Group
from rich.markup import escape

from r1reward.config.secrets import shown
from r1reward.launch.hints import cause, hint
from r1reward.launch.preflight import preflight
from r1reward.launch.session import session
from r1reward.machine.console import console_on
from r1reward.machine.output import quiet
from r1reward.machine.signals import interruptible
from r1reward.run.progress import Progress
from r1reward.run.provenance import data_hashes, provenance
from r1reward.run.summary import accuracy_after, summary
from r1reward.store.rundir import RunDir

POLL_SECONDS = 0.5
_REASON_LINES = 12


@dataclass(frozen=True, slots=True)
class Job:
    """What one kind of training does at each stage of a run.

    Attributes:
        name: of the command, and of its configuration.
        preflight: raises :class:`.errors.ConfigError` for what a run would trip over.
        train: trains to the end, polling the progress.
        summary: the tables of a finished run.
        result: the number that a finished run is worth.
    """

    name: str
    preflight: Callable[[DictConfig], None]
    train: Callable[[DictConfig, RunDir, Progress], None]
    summary: Callable[[RunDir], Group]
    result: Callable[[RunDir], float]


def _reinforce(cfg: DictConfig, run_dir: RunDir, progress: Progress) -> None:
    with session(cfg, run_dir):
        import ray

        from r1reward.plugin.task import TaskRunner

        runner = ray.remote(num_cpus=1)(TaskRunner).remote()
        result = runner.run.remote(cfg)
        while True:
            done, _ = ray.wait([result], timeout=POLL_SECONDS)
            progress.poll()
            if done:
                ray.get(result)
                return


# Reinforcement learning: the result is the final validation accuracy in [0, 1].
REINFORCEMENT = Job("train", preflight, _reinforce, summary, accuracy_after)


def launch(cfg: DictConfig, job: Job = REINFORCEMENT) -> float:
    """Run the training job ``cfg`` and return its result.

    Args:
        cfg: the composed and resolved configuration (``run.dir`` filled in).
        job: the kind of training.

    Raises:
        ConfigError: for a configuration or data that the run would trip over.
        SystemExit: with status 1 for a failed run; the message for the person has been printed.
    """
    started = time.time()
    run_dir = RunDir(Path(cfg.run.dir))
    run_dir.root.mkdir(parents=True, exist_ok=True)
    resumed_from = run_dir.latest_step()
    job.preflight(cfg)
    OmegaConf.save(cfg, run_dir.root / "config.yaml")
    run_dir.event(
        "started",
        command=["r1reward", job.name, *map(shown, sys.argv[1:])],
        resumed_from=resumed_from,
        started=started,
        data=data_hashes(cfg.data),
        **provenance(),
    )
    logged = run_dir.log.stat().st_size if run_dir.log.exists() else 0
    with interruptible(), quiet(run_dir.log) as screen:
        console = console_on(screen)
        console.print(
            f"run      {run_dir.root}\nlog      {run_dir.log}", markup=False, soft_wrap=True
        )
        if resumed_from:
            console.print(f"resuming from step {resumed_from}")
        progress = Progress(console, run_dir, since=started)
        try:
            job.train(cfg, run_dir, progress)
        except BaseException as error:
            traceback.print_exception(error)  # to the log: a remote one is printed nowhere else
            progress.close()
            _explain(console, run_dir, error, logged)
            _report(console, run_dir)
            raise SystemExit(1) from None
        progress.close()
        console.print(job.summary(run_dir), soft_wrap=True)
        _report(console, run_dir)
    return job.result(run_dir)


def _explain(console: Console, run_dir: RunDir, error: BaseException, logged: int) -> None:
    """Say why the run failed and what to do; ``logged``: bytes of the log of earlier starts."""
    words = reason(error)
    if isinstance(error, KeyboardInterrupt):
        lines = ["[yellow]interrupted[/]"]
    else:
        lines = [f"[red]failed[/] {escape(words)}"]
        if root := cause(words, run_dir.log, logged):
            lines.append(f"because of {escape(root)}")
            words += f"\nbecause of {root}"
        if advice := hint(root or words):
            lines.append(f"[cyan]hint[/] {escape(advice)}")
        lines.append(f"the whole story is in {escape(str(run_dir.log))}")
    run_dir.event("failed", error=type(error).__name__, reason=words)
    if run_dir.latest_step():
        lines.append(f"continue with: resume={escape(str(run_dir.root))}")
    console.print("\n".join(lines), soft_wrap=True)


def _report(console: Console, run_dir: RunDir) -> None:
    """Write the page about the run; nothing that goes wrong with it may change how a run ends."""
    try:
        from r1reward.report.run_page import write_report

        write_report(run_dir)
        line = f"{'report':<12}{escape(str(run_dir.report))}"
    except (Exception, KeyboardInterrupt) as error:
        traceback.print_exception(error)
        line = f"[yellow]no report[/] {escape(reason(error))}"
    console.print(line, soft_wrap=True)


def reason(error: BaseException) -> str:
    """Return the type and the words of the exception that a failure began with.

    Ray wraps it once for every process it crosses, and the text of a wrapper is a traceback.
    """
    while isinstance(cause := getattr(error, "cause", None), BaseException):
        error = cause
    lines = str(error).strip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    if frames:  # the exception itself could not travel: its words follow its frames
        after = dropwhile(lambda line: line.startswith(" "), lines[frames[-1] :])
        words = list(after) or lines[-1:]
    else:
        words = [": ".join([type(error).__name__, *lines[:1]]), *lines[1:]]
    return "\n".join(islice(words, _REASON_LINES))
