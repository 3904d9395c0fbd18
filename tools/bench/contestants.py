"""The contestants of ``bench.eval``: what each does between the start and the stop of a clock."""

import os
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import ImageDraw

from r1reward.core.media import open_image
from r1reward.core.pair import Media, Preference
from r1reward.core.rows import Row
from r1reward.eval.ask import Evaluation
from r1reward.eval.benchmarks.base import Benchmark, Place
from r1reward.eval.benchmarks.rows import BenchmarkError
from r1reward.eval.score.scoring import summarise
from r1reward.judge.base import Judge
from r1reward.judge.build import build_judge
from r1reward.judge.hf import HFJudge
from r1reward.judge.item import Item
from r1reward.judge.protocol import Call, Protocol
from r1reward.judge.vllm import VLLMJudge
from r1reward.store.answers import Journal

# Items of the warm-up.
WARM_UP = {"ours": 16, "raw": 16, "hf": 1, "hf_batch": 1}


@dataclass(frozen=True, slots=True)
class Pass:
    """One timed pass.

    Attributes:
        judgements: answers.
        tokens: of all answers.
        seconds: what the clock saw.
        load: the machine's load average before.
        preparing: seconds before the clock started that made its prompts.
    """

    judgements: int
    tokens: int
    seconds: float
    load: float
    preparing: float = 0.0


@dataclass(frozen=True, slots=True)
class Stay:
    """One process of a contestant; ``startup`` is in seconds, with the warm-up."""

    startup: float
    passes: list[Pass]


class Workload(Benchmark):
    """Items of ``source``, over and over, each with images of its own below ``folder``.

    ``numbers`` says which of them. The number of an item is drawn into its images: as in most
    benchmarks, only the two prompts of an item share anything. Items with videos are left out.
    """

    def __init__(self, source: Benchmark, numbers: range, folder: Path) -> None:
        super().__init__(source.root, folder)
        # Of the class elsewhere; here one class stands for every benchmark.
        self.name, self.groupings = source.name, source.groupings  # type: ignore[misc]
        self._source, self._numbers = source, numbers

    def load(self) -> Iterator[Item]:
        """Yield the items."""
        for number, item in self._numbered():
            names = (f"{number}-{place}.jpg" for place in range(len(item.all_media())))
            yield replace(item, index=number).with_media(Media("image", name) for name in names)

    def draw(self) -> None:
        """Write the images."""
        for number, item in self._numbered():
            for place, media in enumerate(item.all_media()):
                image = open_image(media.uri, self._source.media.root)
                pen = ImageDraw.Draw(image)
                pen.text((2, 2), str(number), "white", stroke_width=2, stroke_fill="black")
                image.save(self.media.root / f"{number}-{place}.jpg", quality=92)

    def place(self, row: Row) -> Place:
        """As the source does."""
        return self._source.place(row)

    def preference(self, row: Row) -> Preference:
        """As the source does."""
        return self._source.preference(row)

    def _numbered(self) -> Iterator[tuple[int, Item]]:
        return zip(self._numbers, islice(self._endless(), self._numbers.start, None), strict=False)

    def _endless(self) -> Iterator[Item]:
        while True:
            found = 0
            for item in self._source.load():
                if all(media.kind == "image" for media in item.all_media()):
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
        self._items = cfg["items"]  # DictConfig has a method items()
        self._judged = self._items if name in ("ours", "raw") else min(cfg.hf_items, self._items)
        self._warm_up = WARM_UP[name]

    @cached_property
    def protocol(self) -> Protocol:
        """That of the configuration, with the length of answers."""
        protocol: Protocol = instantiate(self._cfg.protocol)
        tokens = self._cfg.tokens
        return replace(protocol, max_tokens=tokens) if tokens else protocol

    def judge(self, kind: type[Judge], settings: DictConfig) -> Any:
        """Return the judge of these settings, as ``kind``."""
        ours = OmegaConf.merge(settings, {"_target_": f"{__name__}.{kind.__name__}"})
        assert isinstance(ours, DictConfig)
        judge: Any = build_judge(ours, self.protocol, self._images)
        judge.tokens = self._cfg.tokens
        return judge

    def workload(self, *, warm_up: bool = False) -> Workload:
        """Return what to judge; the items of the warm-up come after all others."""
        numbers = range(self._judged)
        if warm_up:
            numbers = range(self._items, self._items + self._warm_up)
        return Workload(instantiate(self._cfg.benchmark), numbers, self._images)

    def calls(self, *, warm_up: bool = False) -> list[Call]:
        """Return the prompts of the workload."""
        items = self.workload(warm_up=warm_up).load()
        return [call for item in items for call in self.protocol.calls(item)]

    async def stay(self, one: Callable[[bool], Coroutine[None, None, Pass]]) -> Stay:
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
        began = time.perf_counter()
        calls = contest.calls(warm_up=warm_up)
        prompts = [judge._prompt(call.item) for call in calls]
        sampling = [judge.sampling(call.votes) for call in calls]
        preparing = time.perf_counter() - began
        load, began = os.getloadavg()[0], time.perf_counter()
        outputs = llm.generate(prompts, sampling, use_tqdm=False)
        seconds = time.perf_counter() - began
        answers = [answer for output in outputs for answer in output.outputs]
        tokens = sum(len(answer.token_ids) for answer in answers)
        return Pass(len(answers), tokens, seconds, load, preparing)

    return await contest.stay(one)


def _offline(**arguments: object) -> Any:
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
