"""A public preference set as a training set: ``python -m tools.convert source=rlaif_v out=...``.

Exit status: 0 when the set is there, 2 for a configuration or data that cannot be used.
"""

import os
import shlex
import sys
import time
from pathlib import Path
from types import TracebackType

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.status import Status
from rich.table import Table

from r1reward.command import run_command
from r1reward.config import ConfigError
from r1reward.data.convert import QUARANTINE, ConvertError, Job, Progress, convert
from r1reward.data.sources.base import Source
from r1reward.progress import clock, console_on

_EVERY = 10.0  # seconds between lines where there is no terminal
_MIB = 1 << 20


class Ticker:
    """How far a conversion is: a live line on a terminal, else a plain one every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = self._said = time.monotonic()
        self._status: Status | None = None

    def __enter__(self) -> "Ticker":
        if self._console.is_terminal:
            self._status = self._console.status("reading the files")
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, progress: Progress) -> None:
        """Show it."""
        now = time.monotonic()
        total, passed = progress.total, now - self._began
        line = (
            f"{clock(passed)} shard {progress.done}/{progress.units}, {total.rows:,} rows "
            f"({(total.rows - progress.kept) / passed:,.0f}/s), {total.records:,} records, "
            f"{total.dropped.total():,} dropped"
        )
        if self._status is not None:
            self._status.update(line)
        elif now - self._said > _EVERY:
            self._said = now
            self._console.print(line, markup=False)


def show(console: Console, progress: Progress, out: Path, seconds: float) -> None:
    """Print what became of the rows."""
    total = progress.total
    table = Table(title=str(out), title_justify="left", title_style="bold")
    table.add_column("")
    table.add_column("number", justify="right")
    table.add_row("rows read", f"{total.rows:,}")
    table.add_row("records", f"{total.records:,}")
    for label, number in sorted(total.labels.items()):
        table.add_row(f"  label {label}", f"{number:,}")
    for source, number in total.sources.most_common():
        table.add_row(f"  of {source}", f"{number:,}")
    table.add_row(f"dropped, in {QUARANTINE}", f"{total.dropped.total():,}")
    for reason, number in total.dropped.most_common():
        table.add_row(f"  {reason}", f"{number:,}")
    console.print(table)
    new, peaks = total.rows - progress.kept, dict(progress.peaks)
    memory = f"{peaks.pop(os.getpid()) / _MIB:,.0f} MiB"
    if peaks:
        memory += f", of a worker {max(peaks.values()) / _MIB:,.0f} MiB"
    console.print(
        f"{len(total.shards)} shards; {new:,} rows in {seconds:.1f} s ({new / seconds:,.0f}/s), "
        f"{progress.kept:,} from earlier runs; most memory {memory}",
        markup=False,
    )


def run(cfg: DictConfig) -> None:
    """Convert, from a resolved configuration to the table.

    Raises:
        ConvertError: when nothing can be converted.
    """
    if cfg.media not in ("path", "embed"):
        raise ConvertError(f"media={cfg.media}: take path or embed")
    for key, least in {"shard_rows": 1, "workers": 1, "seed": 0}.items():
        value = cfg[key]
        if (value is not None or key != "workers") and (type(value) is not int or value < least):
            raise ConvertError(f"{key}={value}: give {least} or more")
    console, out = console_on(sys.stdout), Path(str(cfg.out))
    job = Job(_source(cfg.source), cfg.media, cfg.seed)
    began = time.monotonic()
    with Ticker(console) as ticker:
        progress = convert(
            job,
            out,
            shard_rows=cfg.shard_rows,
            workers=cfg.workers or os.cpu_count() or 1,
            command=shlex.join(sys.argv),
            tick=ticker,
        )
    show(console, progress, out, time.monotonic() - began)
    root = f" data.media_root={job.source.media_root}" if job.media == "path" else ""
    console.print(
        f"to train on it: data=records data.train_files={out}{root}", markup=False, soft_wrap=True
    )


def _source(cfg: DictConfig) -> Source:
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise ConfigError(f"source.{missing[0]} has no default: give it")
    build = instantiate(cfg, _partial_=True, _convert_="all")
    try:
        source: Source = build()
    except TypeError as error:  # a key that was added with +
        raise ConfigError(f"source: {error}") from None
    return source


def main() -> None:
    """Run the command line."""
    run_command("convert", run, ConvertError)


if __name__ == "__main__":
    main()
