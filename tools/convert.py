"""A public preference set as a training set: ``r1reward convert source=rlaif_v out=...``.

Exit status: 0 when the set is there, 2 for a configuration or data that cannot be used.
"""

import sys
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from r1reward.cli.command import run_command, typed
from r1reward.core.errors import ConfigError
from r1reward.data.convert.run import QUARANTINE, ConvertError, Progress, convert
from r1reward.data.convert.unit import Job
from r1reward.data.sources.base import Source
from r1reward.data.workers import peak_bytes, workers_of
from r1reward.machine.console import Live, console_on


def line(progress: Progress, seconds: float) -> str:
    """Return how far a conversion is."""
    total = progress.total
    rate = (total.rows - progress.kept) / max(seconds, 1e-9)
    return (
        f"shard {progress.done}/{progress.units}, {total.rows:,} rows ({rate:,.0f}/s), "
        f"{total.records:,} records, {total.dropped.total():,} dropped"
    )


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
    new = total.rows - progress.kept
    console.print(
        f"{len(total.shards)} shards; {new:,} rows in {seconds:.1f} s ({new / seconds:,.0f}/s), "
        f"{progress.kept:,} from earlier runs; {peak_bytes() >> 20:,} MiB at most in a process",
        markup=False,
    )


def run(cfg: DictConfig) -> None:
    """Convert, from a resolved configuration to the table.

    Raises:
        ConvertError: when nothing can be converted.
    """
    if cfg.media not in ("path", "embed"):
        raise ConvertError(f"media={cfg.media}: take path or embed")
    for key, least in {"shard_rows": 1, "seed": 0}.items():
        if type(value := cfg[key]) is not int or value < least:
            raise ConvertError(f"{key}={value}: give {least} or more")
    console, out = console_on(sys.stdout), Path(str(cfg.out))
    job = Job(_source(cfg.source), cfg.media, cfg.seed)
    with Live(console) as live:
        progress = convert(
            job,
            out,
            shard_rows=cfg.shard_rows,
            workers=workers_of(cfg.workers),
            command=typed("convert"),
            tick=lambda done: live(line(done, live.seconds)),
        )
    show(console, progress, out, live.seconds)
    console.print(
        f"to train on it: data=records data.train_files={out}", markup=False, soft_wrap=True
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
    run_command("convert", run)


if __name__ == "__main__":
    main()
