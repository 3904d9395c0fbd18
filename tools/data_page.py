"""Show a data set on one page: ``r1reward data-page input=folder out=page.html``.

Exit status: 0 when the page is there, 2 for a configuration or data that cannot be used.
"""

import sys
from pathlib import Path

from omegaconf import DictConfig

from r1reward.cli.command import run_command, typed
from r1reward.config.tree import plain
from r1reward.core.errors import ConfigError
from r1reward.data.page.page import page
from r1reward.data.page.survey import Sampling, estimate_rows, survey
from r1reward.data.workers import peak_bytes, workers_of
from r1reward.machine.console import Live, console_on
from r1reward.store.files import write_text
from r1reward.store.shards import media_folder


def show(cfg: DictConfig) -> None:
    """Measure the data set and write the page."""
    for key, least in {"records": 0, "pixels": 16, "languages": 0, "seed": 0}.items():
        if type(cfg[key]) is not int or cfg[key] < least:
            raise ConfigError(f"{key}={cfg[key]}: give {least} or more")
    given = plain(cfg, complete=True)
    path, out = Path(given["input"]), Path(given["out"])
    if out.suffix != ".html":
        raise ConfigError(f"out={out}: name the page, such as page.html")
    root = media_folder(path, cfg.media_root)
    console = console_on(sys.stdout)
    with Live(console) as live:
        sampling = Sampling(cfg.seed, cfg.records, cfg.languages, cfg.pixels, estimate_rows(path))
        found = survey(path, root, sampling, workers_of(cfg.workers), live)
    command = typed("data-page")
    write_text(out, page(found, path, given, command))
    seconds, size, memory = live.seconds, out.stat().st_size / 2**20, peak_bytes() / 2**20
    for kind, (number, _) in found.faults.items():
        console.print(f"[yellow]warning[/] {number:,} faults of kind {kind}; the page shows some")
    console.print(
        f"{out}: {len(found.rows):,} records, {size:.1f} MiB, {seconds:.1f} s, "
        f"{len(found.rows) / seconds:,.0f} rows/s, {memory:,.0f} MiB at most in a process",
        markup=False,
    )


def main() -> None:
    """Run the command."""
    run_command("data_page", show)


if __name__ == "__main__":
    main()
