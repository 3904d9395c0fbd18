"""Measure how hard each record is: ``r1reward annotate input=... out=... judge=openai``.

An expert judges every record, at most ``preset.attempts`` times, until it is right. Answers are
journaled as they arrive: the same command again asks only what is missing. Exit status: 0 with an
annotated data set, 1 when more than ``max_failures`` records failed, 2 for a configuration or data
that cannot be used.
"""

import asyncio
import sys
import time
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from r1reward.cli.command import error, run_command
from r1reward.config.tree import plain
from r1reward.core.errors import ConfigError
from r1reward.core.fields import PreferenceError
from r1reward.core.rows import count_rows
from r1reward.data.annotate.attempts import Annotation, Preset
from r1reward.data.annotate.difficulty import Meter, show
from r1reward.data.annotate.folder import AnnotatedFolder
from r1reward.judge.base import Judge, TooManyFaultsError
from r1reward.judge.build import build_judge
from r1reward.machine.console import console_on
from r1reward.machine.output import quiet
from r1reward.store.answers import Journal
from r1reward.store.shards import media_folder

_SHOWN = 20  # failures


def annotate(cfg: DictConfig) -> None:
    """Run one annotation, from a resolved configuration to the data set and the table.

    Raises:
        SystemExit: with status 1 when too much failed.
    """
    console = console_on(sys.stdout)
    if not cfg.input or not cfg.out:
        raise ConfigError("input and out: give a data set and the folder to write")
    source = Path(cfg.input)
    media_root = media_folder(source, cfg.media_root)
    preset = _preset(cfg.preset)
    judge = build_judge(cfg.judge, preset.protocol(), media_root)
    rows = min(count_rows(source), cfg.limit or sys.maxsize)
    folder, settings = AnnotatedFolder(Path(cfg.out), source), _settings(source, preset, judge)
    folder.check(settings)
    journal = Journal(folder.journal)
    console.print(f"{source}: {rows} rows, {judge.identity}, into {folder.path}", markup=False)
    for warning in preset.warnings(judge):
        console.print("[yellow]warning[/]", end=" ")
        console.print(warning, markup=False)
    annotation = Annotation(source, judge, preset, journal, cfg.limit, cfg.max_failures)
    try:
        _run(console, annotation, folder, rows, settings, str(media_root.resolve()))
    except TooManyFaultsError:
        _list_faults(annotation.faults)
        raise SystemExit(1) from None
    finally:
        journal.close()


def _run(
    console: Console,
    annotation: Annotation,
    folder: AnnotatedFolder,
    rows: int,
    settings: dict[str, object],
    media_root: str,
) -> None:
    began = time.monotonic()
    noise = folder.journal.with_name("judge.log")
    with quiet(noise) as shown, Meter(console_on(shown), annotation, rows) as meter:
        asyncio.run(annotation.ask(meter.tick))
    if not annotation.difficulty.sources:
        raise PreferenceError(f"{annotation.source}: none of its {rows} rows is a record")
    folder.write(annotation, settings, seed=annotation.preset.seed, media_root=media_root)
    seconds = time.monotonic() - began
    show(console, annotation.difficulty, annotation.preset.attempts, seconds)


def _preset(cfg: DictConfig) -> Preset:
    try:
        return Preset(**plain(cfg))
    except TypeError as problem:  # a key that was added with +
        raise ConfigError(f"preset: {problem}") from None


def _settings(source: Path, preset: Preset, judge: Judge) -> dict[str, object]:
    """Return what one folder has to be annotated with; more rows and more attempts may follow."""
    return {
        "input": str(source),
        "judge": judge.identity,
        "temperature": preset.temperature,
        "top_p": preset.top_p,
        "repetition_penalty": preset.repetition_penalty,
        "max_tokens": preset.max_tokens,
    }


def _list_faults(faults: list[dict[str, str]]) -> None:
    lines = [f"  {fault['where']}: {fault['reason']}: {fault['detail']}" for fault in faults]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"  and {len(lines) - _SHOWN} more"]
    error(
        f"{len(faults)} records failed, more than max_failures: nothing is written. Answers are "
        "kept; the same command asks the rest.\n" + "\n".join(lines)
    )


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: with status 2 for a configuration or data that cannot be used.
    """
    run_command("annotate", annotate)


if __name__ == "__main__":
    main()
