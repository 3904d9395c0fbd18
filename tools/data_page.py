"""Show a data set on one page: ``python -m tools.data_page input=folder out=page.html``.

Exit status: 0 when the page is there, 2 for a configuration or data that cannot be used.
"""

import shlex
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from r1reward.command import run_command
from r1reward.config import ConfigError
from r1reward.data.mix import MixError, processes
from r1reward.data.page import Sampling, count_rows, page, survey
from r1reward.files import write_text
from r1reward.progress import console_on
from r1reward.rows import RowError
from tools.mix import Ticker, peak_mib, workers_of


def show(cfg: DictConfig) -> None:
    """Measure the data set and write the page."""
    for key, least in {"records": 0, "pixels": 16, "languages": 0, "seed": 0}.items():
        if type(cfg[key]) is not int or cfg[key] < least:
            raise ConfigError(f"{key}={cfg[key]}: give {least} or more")
    given: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    path, out = Path(given["input"]), Path(given["out"])
    if out.suffix != ".html":
        raise ConfigError(f"out={out}: name the page, such as page.html")
    root = Path(cfg.media_root or (path if path.is_dir() else path.parent))
    console, began = console_on(sys.stdout), time.monotonic()
    with processes(workers_of(cfg.workers)) as pool, Ticker(console) as tick:
        sampling = Sampling(cfg.seed, cfg.records, cfg.languages, cfg.pixels, count_rows(path))
        found = survey(path, root, sampling, pool, partial(tick, "reading"))
    command = shlex.join(["python", "-m", "tools.data_page", *sys.argv[1:]])
    write_text(out, page(found, path, given, command))
    seconds, size = time.monotonic() - began, out.stat().st_size / 2**20
    for kind, (number, _) in found.faults.items():
        console.print(f"[yellow]warning[/] {number:,} faults of kind {kind}; the page shows some")
    console.print(
        f"{out}: {len(found.rows):,} records, {size:.1f} MiB, {seconds:.1f} s, "
        f"{len(found.rows) / seconds:,.0f} rows/s, {peak_mib():,.0f} MiB at most in a process",
        markup=False,
    )


def main() -> None:
    """Run the command."""
    run_command("data_page", show, MixError, RowError)


if __name__ == "__main__":
    main()
