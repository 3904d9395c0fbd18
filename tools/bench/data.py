"""Speed and memory of the data tools: ``r1reward bench-data rows=200000``.

Rows are generated once: pairs over the embedded photos, no two with the same text. Each step is
then a command, run as a person would run it, in processes of its own, whose memory is watched.
"""

import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from r1reward.cli.command import run_command
from r1reward.core.errors import ConfigError
from r1reward.machine.console import console_on
from r1reward.recipes.photos.build import PHOTOS, read_manifest
from r1reward.store.files import replacing
from r1reward.tools.bench.kept import Figure, conclude, content, file_of, write
from r1reward.tools.bench.machine import Machine, here

ROWS = "rows.jsonl"
_EVERY = 0.1  # seconds between looks at the processes
_MIB = 1 << 20
_PACKAGES = ("pyarrow", "datasets", "pillow", "numpy")
_VOCABULARY = """
a about above across after against all along also among an and animal any arch area as at back
background bank bay beach behind below beneath beside between big bird blue boat body both branch
bridge bright brown building but by camera castle clear close cloud coast colour corner could
crowd dark day deep distance door down each early edge empty evening eye face facade far few field
fin fish flower for foreground forest four from front full garden glass grass green grey ground
half hand head heavy high hill horizon house huge in inside into island it its kind lake landscape
large leaf left leg less light line long low machine made many material metal middle more morning
mountain mouth much narrow near no not object of old on one only open or other out outside over
painted part path people photo pink plant pond quite red reef rest right river rock roof round row
sand scale sea shadow sharp shore side sky small smooth snow soft some stands statue stone
straight stream street sun surface tail tall than that the their there these thin this three tile
to tool tower town tree two under up valley view wall water wave which white wide wind window wing
with wood yellow
"""
_WORDS = _VOCABULARY.split()


@dataclass(frozen=True, slots=True)
class Measured:
    """What a step took.

    Attributes:
        step: name.
        rows: that went in.
        seconds: from start to end, imports included.
        cpu_seconds: of all its processes.
        peaks: most memory of each of its processes, in bytes, that of the command first.
        load: of the machine, just before.
    """

    step: str
    rows: int
    seconds: float
    cpu_seconds: float
    peaks: list[int]
    load: float


def generate(rows: int, seed: int, path: Path) -> None:
    """Write so many rows of question, chosen, rejected and image."""
    draw = random.Random(seed)  # noqa: S311
    images = sorted(photo.image for photo in read_manifest())

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(_WORDS, k=draw.randint(least, most))).capitalize() + "."

    with replacing(path) as part, open(part, "w", encoding="utf-8") as file:
        for number in range(rows):
            row = {
                "id": f"{number:07d}",
                "question": text(8, 24),
                "chosen": text(30, 110),
                "rejected": text(30, 110),
                "image": images[number % len(images)],
            }
            file.write(json.dumps(row) + "\n")


def convert(cfg: DictConfig, folder: Path) -> list[str]:
    """Convert the rows; images stay where they are."""
    return [
        "convert",
        "source=plain",
        f"source.root={folder}",
        f"source.files={ROWS}",
        f"source.media_root={PHOTOS}",
        f"out={folder}/converted",
        _workers(cfg),
    ]


def validate(cfg: DictConfig, folder: Path) -> list[str]:
    """Check the converted rows, near duplicates and languages included."""
    files = f"files=[{folder}/converted]"
    return ["validate", files, f"media_root={PHOTOS}", "shown=1", _workers(cfg)]


def decontaminate(cfg: DictConfig, folder: Path) -> list[str]:
    """Compare the converted rows with the embedded benchmark: prompts and images."""
    return [
        "decontaminate",
        f"input={folder}/converted",
        f"media_root={PHOTOS}",
        "benchmarks=[photos]",
        f"out={folder}/clean",
        _workers(cfg),
    ]


def _workers(cfg: DictConfig) -> str:
    return f"workers={'null' if cfg.workers is None else cfg.workers}"


# Step -> its command and arguments; later steps may read what earlier ones wrote.
STEPS: dict[str, Callable[[DictConfig, Path], list[str]]] = {
    "convert": convert,
    "validate": validate,
    "decontaminate": decontaminate,
}


def measure(step: str, arguments: list[str], rows: int, log: Path) -> Measured:
    """Run a command to its end, with its output in ``log``.

    Raises:
        ConfigError: when it fails.
    """
    load, began, used = os.getloadavg()[0], time.monotonic(), _children_seconds()
    with open(log, "wb") as output:
        command = [sys.executable, "-m", "r1reward", *arguments]
        running = subprocess.Popen(command, stdout=output, stderr=output)
        peaks: dict[int, int] = {}
        while running.poll() is None:
            _look(running.pid, peaks)
            time.sleep(_EVERY)
    seconds, used = time.monotonic() - began, _children_seconds() - used
    if running.returncode:
        raise ConfigError(f"{step}: exit status {running.returncode}; see {log}")
    first = peaks.pop(running.pid, 0)
    return Measured(step, rows, seconds, used, [first, *sorted(peaks.values())[::-1]], load)


def _look(pid: int, peaks: dict[int, int]) -> None:
    """Note the most memory that a process and its children have used so far."""
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            peaks[process.pid] = max(peaks.get(process.pid, 0), _peak(process))
    except psutil.NoSuchProcess:  # it ended meanwhile
        return


def _peak(process: psutil.Process) -> int:
    """Return the high-water mark where the system keeps one, else what is used now."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return int(process.memory_info().rss)
    marks = [line for line in lines if line.startswith("VmHWM:")]
    return int(marks[0].split()[1]) * 1024 if marks else 0


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(console: Console, results: list[Measured], where: Machine) -> None:
    """Print a row for each step."""
    table = Table(
        title=f"{where['cpu']}, {where['cores']} cores", title_justify="left", title_style="bold"
    )
    columns = (
        "rows",
        "seconds",
        "rows/s",
        "rows per CPU s",
        "MiB, command",
        "MiB, most of a child",
    )
    for column in ("", *columns):
        table.add_column(column, justify="right" if column else "left")
    for result in results:
        main, *children = result.peaks
        table.add_row(
            result.step,
            f"{result.rows:,}",
            f"{result.seconds:.1f}",
            f"{result.rows / result.seconds:,.0f}",
            f"{result.rows / result.cpu_seconds:,.0f}",
            f"{main / _MIB:,.0f}",
            f"{max(children, default=0) / _MIB:,.0f}",
        )
    console.print(table)


def bench(cfg: DictConfig) -> None:
    """Generate the rows, run the steps, and write the table and bench.json."""
    if unknown := [step for step in cfg.steps if step not in STEPS]:
        raise ConfigError(f"steps: {', '.join(unknown)} is none of {', '.join(STEPS)}")
    console, where = console_on(sys.stdout), here(_PACKAGES)
    path = file_of(cfg)
    folder = path.parent
    folder.mkdir(parents=True)
    console.print(f"{cfg.rows:,} rows to {folder}", markup=False)
    generate(cfg.rows, cfg.seed, folder / ROWS)
    results = []
    for step in cfg.steps:
        results.append(measure(step, STEPS[step](cfg, folder), cfg.rows, folder / f"{step}.log"))
        rates = {f"{one.step}, rows per CPU second": one.rows / one.cpu_seconds for one in results}
        kept = {name: Figure(rate, 0.2, "higher") for name, rate in rates.items()}
        steps = [asdict(result) for result in results]
        write(path, content("data", cfg, where, kept, steps=steps))
    show(console, results, where)
    conclude(console, path)


def main() -> None:
    """Run the command line."""
    run_command("bench_data", bench)


if __name__ == "__main__":
    main()
