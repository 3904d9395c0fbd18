"""Take benchmarks out of a training set: ``r1reward decontaminate input=... out=...``.

Exit status: 0 with a clean set, 2 for a configuration or data that cannot be used.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from r1reward.cli.command import run_command, typed
from r1reward.config.compose import CONF
from r1reward.config.tree import plain
from r1reward.core.errors import ConfigError
from r1reward.core.pair import text_of
from r1reward.core.rows import RowError
from r1reward.data.decontaminate.match import REASONS, Rules
from r1reward.data.decontaminate.references import Reference
from r1reward.data.decontaminate.run import DROPPED, Cleaned, decontaminate
from r1reward.data.workers import peak_bytes, workers_of
from r1reward.eval.benchmarks.base import Benchmark
from r1reward.eval.benchmarks.rows import BenchmarkError
from r1reward.machine.console import Live, console_on
from r1reward.store.shards import media_folder

_BENCHMARKS = CONF / "benchmark"
_RULES = (
    "drop", "images", "image_similarity", "prompt_similarity", "specific_shingles", "common_images"
)  # fmt: skip
# Why a row that is no record, or shows nothing, cannot be in a clean set.
_UNUSABLE = {"record": "not a record", "media": "media that cannot be opened", "unreadable": "file"}


def clean(cfg: DictConfig) -> None:
    """Clean, from a resolved configuration to the tables."""
    given = plain(cfg, complete=True)
    rules = rules_of(given)
    console, source, out = console_on(sys.stdout), Path(given["input"]), Path(given["out"])
    if not source.exists():
        raise RowError(f"{source}: no such file or folder")
    media_root = media_folder(source, given["media_root"])
    benchmarks, absent = benchmarks_of(given["benchmarks"], given["roots"] or {})
    for benchmark in benchmarks if rules.images else ():
        require_images(benchmark)
    if absent:
        console.print("[yellow]warning[/]", end=" ")
        console.print(
            f"not compared with {', '.join(absent)}: not there; `r1reward fetch` downloads one",
            markup=False,
        )
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the processes: one a core
    with Live(console) as live:
        cleaned = decontaminate(
            source,
            media_root,
            lambda: references(benchmarks),
            rules,
            out,
            workers=workers_of(given["workers"]),
            command=typed("decontaminate"),
            tick=live,
        )
    show(console, cleaned, out, live.seconds)


def rules_of(given: Mapping[str, Any]) -> Rules:
    """Return the rules of a resolved configuration.

    Raises:
        ConfigError: naming the key that cannot be.
    """
    if given["drop"] not in ("either", "both"):
        raise ConfigError(f"drop={given['drop']}: take either or both")
    if given["drop"] == "both" and not given["images"]:
        raise ConfigError("drop=both needs images=true")
    for key in ("image_similarity", "prompt_similarity"):
        if not isinstance(given[key], int | float) or not 0 < given[key] <= 1:
            raise ConfigError(f"{key}={given[key]}: give a number over 0, at most 1")
    for key in ("specific_shingles", "common_images"):
        if not isinstance(given[key], int) or given[key] < 1:
            raise ConfigError(f"{key}={given[key]}: give 1 or more")
    return Rules(**{key: given[key] for key in _RULES})


def benchmarks_of(
    names: Sequence[str] | None, roots: Mapping[str, str]
) -> tuple[list[Benchmark], list[str]]:
    """Return the benchmarks to compare with, and the names of those that are not there.

    Raises:
        ConfigError: for an unknown name.
        BenchmarkError: saying what to fetch, for a benchmark that was named.
    """
    known = sorted(path.stem for path in _BENCHMARKS.glob("*.yaml"))
    names = [names] if isinstance(names, str) else names
    if unknown := sorted({*(names or ()), *roots} - {*known}):
        raise ConfigError(f"benchmarks: no {', '.join(unknown)}; there are {', '.join(known)}")
    found, absent = [], []
    for name in dict.fromkeys(known if names is None else names):
        config = OmegaConf.load(_BENCHMARKS / f"{name}.yaml")
        if name in roots:
            config.benchmark.root = roots[name]
        OmegaConf.resolve(config.benchmark)
        benchmark: Benchmark = instantiate(config.benchmark)
        if names is None and not benchmark.root.is_dir():
            absent.append(name)
            continue
        try:
            benchmark.verify()
        except BenchmarkError as error:
            raise BenchmarkError(f"{error} (with this command: roots={{{name}: folder}})") from None
        found.append(benchmark)
    return found, absent


def require_images(benchmark: Benchmark) -> None:
    """Check that a benchmark's images are there.

    Raises:
        BenchmarkError: naming the first that are not.
    """
    missing = benchmark.check_media().missing
    if missing:
        first = ", ".join(miss.uri for miss in missing[:3])
        raise BenchmarkError(
            f"{benchmark.name}: {len(missing):,} images are missing below {benchmark.media.root} "
            f"({first}...): `r1reward fetch benchmark={benchmark.name}` gets them; "
            "images=false compares prompts alone"
        )


def references(benchmarks: Iterable[Benchmark]) -> Iterator[Reference]:
    """Yield the items of benchmarks."""
    for benchmark in benchmarks:
        for item in benchmark.load():
            question, media = text_of(item.question), item.all_media()
            root = str(benchmark.media.root)
            yield Reference(benchmark.name, item.index, item.id, question, media, root)


def show(console: Console, cleaned: Cleaned, out: Path, seconds: float) -> None:
    """Print what became of the rows, and what was found of each benchmark."""
    total = cleaned.total
    for table in (_by_source(cleaned), _by_benchmark(cleaned)):
        console.print(table)
    new = total.rows - cleaned.earlier
    console.print(
        f"{out}: {total.rows:,} rows in, {total.kept.total():,} out, {total.dropped.total():,} "
        f"in {DROPPED}; {new:,} rows in {seconds:.1f} s ({new / max(seconds, 1e-9):,.0f} rows/s), "
        f"{cleaned.earlier:,} from earlier runs; {peak_bytes() >> 20:,} MiB at most in a process",
        markup=False,
    )


def _by_source(cleaned: Cleaned) -> Table:
    total = cleaned.total
    reasons = [
        reason
        for reason in (*REASONS, *_UNUSABLE)
        if any(reason == other for _, other in total.dropped)
    ]
    table = Table(
        "source",
        "in",
        "out",
        *reasons,
        title="rows by source and strongest reason",
        title_justify="left",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for source in sorted({*total.kept, *(name for name, _ in total.dropped)}):
        gone = [total.dropped[source, reason] for reason in reasons]
        numbers = (sum(gone) + total.kept[source], total.kept[source], *gone)
        table.add_row(escape(source) or "(no record)", *(f"{number:,}" for number in numbers))
    table.add_section()
    gone = [sum(total.dropped[s, r] for s, r in total.dropped if r == reason) for reason in reasons]
    numbers = (total.kept.total() + sum(gone), total.kept.total(), *gone)
    table.add_row("all", *(f"{number:,}" for number in numbers))
    return table


def _by_benchmark(cleaned: Cleaned) -> Table:
    table = Table("benchmark", "items", "with specific prompts", *REASONS)
    table.title, table.title_justify = "dropped records; one can have several reasons", "left"
    for column in table.columns[1:]:
        column.justify = "right"
    for name, items in cleaned.items.items():
        found = (cleaned.total.matched[name, reason] for reason in REASONS)
        numbers = (items, cleaned.specific[name], *found)
        table.add_row(name, *(f"{number:,}" for number in numbers))
    return table


def main() -> None:
    """Run the command.

    Raises:
        SystemExit: with status 2 for a configuration or data that cannot be used.
    """
    run_command("decontaminate", clean)


if __name__ == "__main__":
    main()
