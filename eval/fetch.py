"""Download a benchmark: ``r1reward fetch benchmark=vlrewardbench``.

What differs from the hub, or is missing, is downloaded to ``benchmark.root``; counts and images are
checked. Exit status: 0 when all is there, 1 when images are missing (they are named), 2 when there
is nothing that an evaluation could use.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from r1reward.cli.command import run_command
from r1reward.eval.benchmarks.base import Benchmark
from r1reward.eval.benchmarks.media import MediaReport, MissingMedia
from r1reward.eval.benchmarks.rows import BenchmarkError
from r1reward.eval.download.errors import FetchError, UnreachableError
from r1reward.eval.download.hub import Hub
from r1reward.eval.download.mmrb import Collector
from r1reward.eval.download.sync import Synced, sync
from r1reward.machine.console import console_on
from r1reward.store.files import write_text

MISSING = "missing_images.txt"
_SHOWN = 20  # missing images on the console


def fetch(cfg: DictConfig) -> None:
    """Download one benchmark, from a resolved configuration to the table of what is there.

    Raises:
        FetchError: when nothing can be downloaded, and nothing usable was there before.
        BenchmarkError: when what came is not the benchmark.
        SystemExit: with status 1 when images are missing.
    """
    console = console_on(sys.stdout)
    benchmark: Benchmark = instantiate(cfg.benchmark)
    collector: Collector | None = instantiate(cfg.collect)
    hub = Hub(cfg.hub.endpoint)
    synced, silent = _download(cfg, benchmark, collector, hub, console)
    try:
        counts = benchmark.verify()
        report = benchmark.check_media()
    except BenchmarkError as error:
        raise (_with_advice(silent, benchmark) if silent else error) from None
    if report.missing and collector and not silent:
        collector.collect(benchmark.media.root, (miss.uri for miss in report.missing), hub, console)
        report = benchmark.check_media()
    console.print(_table(benchmark, synced, counts, report))
    if silent:
        console.print("[yellow]warning[/]", end=" ")
        console.print(f"{silent}; what was there before is whole", markup=False)
    _name_missing(benchmark.root, report.missing, collector, console)
    if report.missing:
        raise SystemExit(1)


def _download(
    cfg: DictConfig,
    benchmark: Benchmark,
    collector: Collector | None,
    hub: Hub,
    console: Console,
) -> tuple[Synced | None, UnreachableError | None]:
    """Return what was downloaded, or why nobody could be reached."""
    try:
        if cfg.hub.repo is not None:
            asked = cfg.hub.repo, cfg.hub.revision, cfg.hub.files
            return sync(hub, *asked, benchmark.root, console), None
        if collector is not None:
            collector.annotate(benchmark.root, hub, console)
        else:
            console.print(
                f"{benchmark.name}: nothing to download. {_advice(benchmark)}", markup=False
            )
    except UnreachableError as error:
        return None, error
    except FetchError as error:
        raise _with_advice(error, benchmark) from None
    return None, None


def _with_advice(error: FetchError, benchmark: Benchmark) -> FetchError:
    return FetchError(f"{benchmark.name}: {error}. {_advice(benchmark)}")


def _advice(benchmark: Benchmark) -> str:
    return benchmark.fetch.format(root=benchmark.root)


def _table(
    benchmark: Benchmark, synced: Synced | None, counts: Mapping[str, int], report: MediaReport
) -> Table:
    title = f"{benchmark.name} in {benchmark.root}"
    table = Table("", title=title, title_justify="left", title_style="bold")
    table.add_column("found", justify="right")
    if synced is not None:
        table.add_row(f"files ({decimal(synced.size)})", str(synced.files))
        table.add_row("  downloaded now", str(synced.new))
    table.add_row("rows", str(counts["rows"]))
    table.add_row("ids", str(counts["ids"]))
    for grouping in benchmark.groupings:
        table.add_section()
        for key in sorted(counts):
            if key.startswith(f"{grouping}/"):
                table.add_row(key, str(counts[key]))
    table.add_section()
    table.add_row("images and videos", str(report.present))
    table.add_row("  missing", str(len(report.missing)))
    return table


def _name_missing(
    root: Path, missing: tuple[MissingMedia, ...], collector: Collector | None, console: Console
) -> None:
    """Write and show which images are missing, and where each is to be had."""
    if not missing:
        (root / MISSING).unlink(missing_ok=True)
        return
    lines = [f"{miss.uri} (row {miss.index + 1}, {miss.id})" for miss in missing]
    if collector is not None:
        addresses = (collector.address(miss.uri) for miss in missing)
        lines = [f"{line}: {where}" for line, where in zip(lines, addresses, strict=True)]
    write_text(root / MISSING, "\n".join(lines) + "\n")
    for line in lines[:_SHOWN]:
        console.print(f"missing {line}", markup=False, soft_wrap=True)
    rest = f"{len(lines) - _SHOWN} more in" if len(lines) > _SHOWN else "also in"
    console.print(f"{rest} {root / MISSING}", markup=False, soft_wrap=True)


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: with status 1 when images are missing, 2 when nothing is usable.
    """
    run_command("eval", fetch)


if __name__ == "__main__":
    main()
