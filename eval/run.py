"""Judge a benchmark: ``r1reward eval benchmark=photos judge=hf protocol=default``.

Answers are journaled as they arrive, and the score is computed from the journal: the same command
again asks only what is missing. Exit status: 0 with a score, 1 when more than ``max_failures``
prompts failed, 2 for a configuration or data that cannot be used.
"""

import asyncio
import hashlib
import json
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from r1reward.cli.command import error, run_command
from r1reward.config.secrets import check_secrets
from r1reward.eval.ask import Evaluation
from r1reward.eval.benchmarks.base import Benchmark
from r1reward.eval.report.browser import judgements, sample
from r1reward.eval.report.page import report
from r1reward.eval.report.table import show
from r1reward.eval.results import results
from r1reward.eval.score.items import write_items
from r1reward.eval.score.results import FaultRow
from r1reward.eval.score.scoring import summarise
from r1reward.eval.tracking import track
from r1reward.judge.base import Judge, TooManyFaultsError
from r1reward.judge.build import build_judge
from r1reward.judge.protocol import Protocol
from r1reward.machine.console import console_on
from r1reward.machine.output import quiet
from r1reward.machine.ticker import Ticker
from r1reward.store.answers import Journal
from r1reward.store.files import write_text


def evaluate(cfg: DictConfig, judge_name: str) -> None:
    """Run one evaluation, from a resolved configuration to ``results.json`` and the table.

    Raises:
        ConfigError: for a secret in the configuration, which results.json and trackers show.
        SystemExit: with status 1 when too much failed.
    """
    check_secrets(cfg)
    console = console_on(sys.stdout)
    benchmark: Benchmark = instantiate(cfg.benchmark)
    protocol: Protocol = instantiate(cfg.protocol, _partial_=True)()
    judge = build_judge(cfg.judge, protocol, benchmark.media.root)
    rows = min(benchmark.verify()["rows"], cfg.limit or sys.maxsize)
    folder = Path(cfg.run.dir or directory(cfg, judge_name, benchmark.name, judge, protocol))
    journal = Journal(folder / "journal.jsonl")
    evaluation = Evaluation(benchmark, judge, protocol, journal, cfg.limit, cfg.max_failures)
    console.print(f"{benchmark.name}: {rows} items, {judge.identity}, in {folder}", markup=False)
    began = time.monotonic()
    try:
        log = folder / "judge.log"
        with quiet(log) as shown, Ticker(console_on(shown), evaluation, rows) as ticker:
            asyncio.run(evaluation.ask(ticker.tick))
        publish(cfg, evaluation, folder, began, console)
    except TooManyFaultsError:
        _list_faults(evaluation.faults)
        raise SystemExit(1) from None
    finally:
        journal.close()


def publish(
    cfg: DictConfig, evaluation: Evaluation, folder: Path, began: float, console: Console
) -> None:
    """Score the journal, and write and show what it says; ``began`` is of the monotonic clock."""
    usage: dict[str, float] = {}
    counted = evaluation.count(usage)
    score = summarise(counted, evaluation.protocol, evaluation.benchmark)
    seconds = round(time.monotonic() - began, 3)
    content = results(cfg, evaluation, score, usage, seconds)
    write_items(folder / "items.jsonl", counted)
    write_text(folder / "results.json", json.dumps(content, indent=1))
    show(console, score, content["notes"], usage, seconds)
    chosen = sample(counted.tallies, cfg.report.judgements)
    media_root = evaluation.benchmark.media.root
    shown = judgements(evaluation.answers(), chosen, media_root, cfg.report.pixels)
    page = folder / "report.html"
    write_text(page, report(score, content, shown))
    console.print(f"report: {page}", markup=False)
    if cfg.tracking.wandb:
        track(cfg.tracking.project, folder, content, score, shown, page)


def directory(
    cfg: DictConfig, judge_name: str, benchmark_name: str, judge: Judge, protocol: Protocol
) -> Path:
    """Return where the same command finds its answers again."""
    asked = json.dumps([judge.identity, asdict(protocol), cfg.limit])
    name = judge.identity.partition("@")[0].removeprefix(f"{judge_name}-")
    parts = [judge_name, name, protocol.name, hashlib.sha256(asked.encode()).hexdigest()[:8]]
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts))
    return Path(cfg.run.root, benchmark_name, slug)


def _list_faults(faults: list[FaultRow]) -> None:
    lines = [
        f"  row {fault['index'] + 1}, {fault['id']}: {fault['kind']}: {fault['detail']}"
        for fault in faults
    ]
    error(
        f"{len(faults)} prompts failed, more than max_failures: no score. Answers are kept; the "
        "same command asks the rest.\n" + "\n".join(lines)
    )


def _action(cfg: DictConfig) -> None:
    hydra_config: Any = HydraConfig.get()
    evaluate(cfg, str(hydra_config.runtime.choices.judge))


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: with status 2 for a configuration or data that cannot be used.
    """
    run_command("eval", _action)


if __name__ == "__main__":
    main()
