"""Make the runs of the study: ``r1reward ablation settings=[base] workers=4``.

Every run is one process's work on one thread and leaves one file; a rerun makes what is missing,
so that the study can go on elsewhere and files be brought together. :mod:`.page` makes the report.
Exit status: 0 when runs were made, 2 for an unusable configuration.
"""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import torch
from omegaconf import DictConfig

from r1reward.cli.command import run_command
from r1reward.config.tree import plain
from r1reward.machine.console import Live, console_on
from r1reward.recipes.ablation import loop
from r1reward.recipes.ablation.design import Run, runs_of
from r1reward.recipes.ablation.reward import Scorer
from r1reward.recipes.ablation.rows import End
from r1reward.store.files import write_text

START = "start.json"  # how the start model judges the validation pairs
_material: loop.Material  # of this process


def finished(run: Run, out: Path) -> bool:
    """Return whether ``out`` has the file of exactly this run, complete."""
    try:
        lines = (out / run.file).read_text(encoding="utf-8").splitlines()
        header, last = json.loads(lines[0]), json.loads(lines[-1])
    except (FileNotFoundError, IndexError, ValueError):
        return False
    return bool(last["kind"] == "end" and run.header().items() <= header.items())


def _begin(run: Run, device: str) -> None:
    global _material  # a worker loads once what all of its runs start from
    torch.set_num_threads(1)
    _material = loop.prepare(run.config(), device)


def _execute(run: Run, out: Path) -> End:
    return loop.execute(run, _material, out / run.file)


def _write_start(run: Run, out: Path) -> None:
    config = run.config()
    judged = loop.validate(_material.model, _material, Scorer(config), config, texts=True)
    pairs = _material.validation.preferences
    rows = [
        {"image": pair.media[0].uri, "responses": list(pair.responses), "label": pair.label}
        for pair in pairs
    ]
    write_text(out / START, json.dumps({**judged, "pairs": rows}, indent=1) + "\n")


def make(
    runs: list[Run], out: Path, device: str, workers: int, seconds: float | None
) -> Iterator[tuple[Run, End]]:
    """Make ``runs`` in parallel; yield each with its last row as it ends.

    Args:
        runs: in the order in which they are started.
        out: their folder.
        device: ``cpu`` or ``cuda``.
        workers: processes.
        seconds: start no run that would end later than so, judged by the longest one so far.
    """
    began, longest, waiting = time.monotonic(), 0.0, list(reversed(runs))
    # Spawned: a fork of a process that has used torch's threads, or CUDA, may hang.
    context = multiprocessing.get_context("spawn")
    running: dict[Future[End], Run] = {}
    with ProcessPoolExecutor(workers, context, _begin, (runs[0], device)) as pool:
        if not (out / START).exists():
            pool.submit(_write_start, runs[0], out)
        while waiting or running:
            left = float("inf") if seconds is None else seconds - (time.monotonic() - began)
            if left < longest:
                waiting.clear()
            while waiting and len(running) < workers:
                run = waiting.pop()
                running[pool.submit(_execute, run, out)] = run
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                last = future.result()
                longest = max(longest, last["seconds"])
                yield running.pop(future), last


def study(cfg: DictConfig) -> None:
    """Make what is missing of the study."""
    given = plain(cfg)
    out, console, runs = Path(cfg.out), console_on(sys.stdout), runs_of(given)
    for run in {run.overrides[:-1]: run for run in runs}.values():
        run.config()  # an override that is wrong is said now
    missing = [run for run in runs if not finished(run, out)]
    console.print(f"{len(runs)} runs, {len(runs) - len(missing)} of them finished before")
    if not missing:
        return
    workers = min(cfg.workers or os.cpu_count() or 1, len(missing))
    done, spent = 0, 0.0
    with Live(console) as live:
        for run, last in make(missing, out, cfg.device, workers, cfg.seconds):
            done, spent = done + 1, spent + last["seconds"]
            said = ", ".join(last["collapse"]) or "no collapse"
            live.say(f"{done}/{len(missing)} {run.file}: {last['seconds']:.0f} s, {said}")
        console.print(
            f"{done} of {len(missing)} runs in {live.seconds:.0f} s with {workers} workers, "
            f"{spent / max(done, 1):.1f} s a run; in {out}"
        )


def main() -> None:
    """Run the command."""
    run_command("ablation", study)


if __name__ == "__main__":
    main()
