"""Memory of evaluation as benchmarks grow: ``r1reward bench-memory 5000 20000 100000``.

Every row is a process of its own, in which the constant judge answers so many generated items in
both orders; answers are journaled, read back, counted and scored as in any evaluation.
"""

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.table import Table

from r1reward.core.pair import Media
from r1reward.eval.ask import Evaluation
from r1reward.eval.benchmarks.photos import Photos
from r1reward.eval.score.scoring import summarise
from r1reward.judge.constant import ConstantJudge
from r1reward.judge.item import Item
from r1reward.judge.protocol import Protocol
from r1reward.machine.console import console_on
from r1reward.store.answers import Journal

PROTOCOL = Protocol("bench", "both", "wrong", 0, 1, 0.0, 1.0, 1.0, 64)
_CLUSTER = 2  # items
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Most memory of a process until the end of each step, in bytes; and seconds of each."""

    items: int
    started: int
    asked: int
    counted: int
    scored: int
    seconds: tuple[float, float, float]


class Generated(Photos):
    """Items of 16 KiB, image and texts, made when they are read."""

    def __init__(self, items: int) -> None:
        super().__init__(".")
        self._many = items

    def load(self) -> Iterator[Item]:
        """Yield the items."""
        for number in range(self._many):
            responses = (f"{'first ' * 300}{number}", f"{'second ' * 300}{number}")
            image = Media("image", f"data:image/png;base64,{number:012d}{'A' * 12 * _KIB}")
            yield Item(
                question=f"Question {number}?",
                responses=responses,
                media=(image,),
                label=2 if number % 2 else 1,
                source=self.name,
                index=number,
                id=f"id {number}",
                groups={"official": f"group {number % 7}"},
                subgroup=f"kind {number % 11}",
                cluster=f"photo {number // _CLUSTER}",
            )


def measure(items: int) -> Memory:
    """Return what it takes to judge so many items; in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, items).result()


def _measure(items: int) -> Memory:
    marks, times = [_peak()], [time.perf_counter()]

    def mark() -> None:
        marks.append(_peak())
        times.append(time.perf_counter())

    benchmark = Generated(items)
    judge = ConstantJudge(PROTOCOL, ".", 1)
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder, "journal.jsonl"))
        evaluation = Evaluation(benchmark, judge, PROTOCOL, journal, None, 0)
        asyncio.run(evaluation.ask(lambda: None))
        mark()
        counted = evaluation.count({})
        mark()
        summarise(counted, PROTOCOL, benchmark)
        mark()
        journal.close()
    first, second, third = (end - start for start, end in pairwise(times))
    started, asked, scoring, scored = marks
    return Memory(items, started, asked, scoring, scored, (first, second, third))


def _peak() -> int:
    """Return the most memory this process ever had, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [mark] = [line for line in lines if line.startswith("VmHWM:")]
    return int(mark.split()[1]) * _KIB


def table(found: list[Memory]) -> Table:
    """Return a row for each size, with the growth an item since the first one."""
    shown = Table(title="peak memory in MiB, and bytes an item beyond the first row's")
    for column in ("items", "start", "asked", "", "counted", "", "scored", "", "seconds"):
        shown.add_column(column, justify="right")
    first = found[0]
    for one in found:
        cells = [f"{one.items:,}", f"{one.started / _KIB**2:.0f}"]
        for step in ("asked", "counted", "scored"):
            peak, more = getattr(one, step), one.items - first.items
            grown = f"{(peak - getattr(first, step)) / more:.0f}" if more else ""
            cells += [f"{peak / _KIB**2:.0f}", grown]
        shown.add_row(*cells, " + ".join(f"{seconds:.1f}" for seconds in one.seconds))
    return shown


def main() -> None:
    """Measure the sizes of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("items", nargs="*", type=int, default=[5_000, 20_000, 100_000])
    sizes = parser.parse_args().items
    console_on(sys.stdout).print(table([measure(items) for items in sizes]))


if __name__ == "__main__":
    main()
