"""Judge by transformers, in batches, on a GPU or a CPU."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from r1reward.core.media import ImageError
from r1reward.core.pair import Pair
from r1reward.endpoint.fault import Fault
from r1reward.judge.base import Answer, Reply
from r1reward.judge.item import prompt_name
from r1reward.judge.local import LocalJudge
from r1reward.judge.protocol import Protocol
from r1reward.patches import transformers as patches

# A pair to judge, the number of the vote, and where its reply is awaited.
Row = tuple[Pair, int, "asyncio.Future[Reply]"]


class HFJudge(LocalJudge):
    """Collects the prompts of concurrent calls into batches of ``batch_size`` answers."""

    def __init__(
        self,
        protocol: Protocol,
        media_root: Path | str,
        model: str,
        revision: str | None,
        min_pixels: int | None,
        max_pixels: int | None,
        batch_size: int,
        dtype: str,
        device: str,
    ) -> None:
        super().__init__(protocol, media_root, model, revision, min_pixels, max_pixels)
        if dtype != "auto":
            self.identity += f":{dtype}"
        self.window = 2 * batch_size  # one batch generates, the next one waits
        self._batch_size, self._dtype, self._device = batch_size, dtype, device
        self._waiting: list[Row] = []
        self._worker: asyncio.Task[None] | None = None

    async def judge(self, pair: Pair, votes: Sequence[int]) -> AsyncIterator[tuple[int, Reply]]:
        """Yield one answer a vote, each from whatever batch it came into."""
        loop = asyncio.get_running_loop()
        rows: list[Row] = [(pair, vote, loop.create_future()) for vote in votes]
        self._waiting += rows
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        for _, vote, reply in rows:
            yield vote, await reply

    async def _work(self) -> None:
        while self._waiting:
            batch = self._waiting[: self._batch_size]
            del self._waiting[: self._batch_size]
            try:
                replies = await asyncio.to_thread(self._generate, batch)
            except Exception as error:  # a broken judge: whoever waits hears of it
                for _, _, future in [*batch, *self._waiting]:
                    if not future.done():
                        future.set_exception(error)
                self._waiting.clear()
                return
            for (_, _, future), reply in zip(batch, replies, strict=True):
                if not future.done():
                    future.set_result(reply)

    def _generate(self, batch: Sequence[Row]) -> list[Reply]:
        import torch

        replies: dict[int, Reply] = {}
        prompts = {}
        for place, (pair, _, _) in enumerate(batch):
            try:
                prompts[place] = self.prepare(self._processor, pair)
            except ImageError as error:
                replies[place] = Fault("media", str(error))
        if prompts:
            inputs = self._inputs(list(prompts.values())).to(self._model.device)
            torch.manual_seed(_seed(self.protocol.seed, batch))
            with torch.inference_mode():
                ids = self._model.generate(**inputs)
            new = ids[:, inputs["input_ids"].shape[1] :].cpu()
            asked = inputs["attention_mask"].sum(1).tolist()
            for place, row, tokens in zip(prompts, new, asked, strict=True):
                text = self._processor.decode(row, skip_special_tokens=True)
                length, finish_reason = self._end(row.tolist())
                replies[place] = Answer(text, tokens, length, finish_reason=finish_reason)
        return [replies[place] for place in range(len(batch))]

    def _inputs(self, prompts: Sequence[tuple[str, Any, Any]]) -> Any:
        texts = [text for text, _, _ in prompts]
        images = [image for _, found, _ in prompts for image in found or ()]
        videos = [video for _, _, found in prompts for video in found or ()]
        options: dict[str, object] = {"images": images or None}
        if videos:
            frames, metadata = zip(*videos, strict=True)
            options |= {"videos": list(frames), "video_metadata": list(metadata)}
            options["do_sample_frames"] = False
        return self._processor(text=texts, padding=True, return_tensors="pt", **options)

    def _end(self, ids: list[int]) -> tuple[int, str]:
        """Return how many tokens a response has, and whether it came to an end or was cut."""
        ends = set(self._ends)
        length = next((place + 1 for place, id in enumerate(ids) if id in ends), 0)
        return (length, "stop") if length else (len(ids), "length")

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(self.folder)
        processor.tokenizer.padding_side = "left"
        return processor

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForImageTextToText, GenerationConfig

        patches.install()  # the attention of training
        device = self._device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        model = AutoModelForImageTextToText.from_pretrained(self.folder, dtype=self._dtype)
        # In its place, not as an argument: generate() takes what an argument leaves at the
        # default, such as a repetition penalty of 1, from the model's own recommendations.
        own, asked = model.generation_config, self.protocol
        sampling = {"temperature": asked.temperature, "top_p": asked.top_p, "top_k": 0}
        model.generation_config = GenerationConfig(
            do_sample=asked.temperature > 0,
            max_new_tokens=asked.max_tokens,
            repetition_penalty=asked.repetition_penalty,
            eos_token_id=own.eos_token_id,
            pad_token_id=own.pad_token_id,
            **(sampling if asked.temperature > 0 else {}),
        )
        return model.to(device).eval()

    @property
    def _ends(self) -> list[int]:
        ends = self._model.generation_config.eos_token_id
        return ends if isinstance(ends, list) else [ends]


def _seed(seed: int, batch: Sequence[Row]) -> int:
    """Return a seed of the batch's own: a resumed run must not draw the same noise again."""
    names = [f"{prompt_name(pair)}:{vote}" for pair, vote, _ in batch]
    return int(hashlib.sha256(f"{seed}:{names}".encode()).hexdigest()[:15], 16)
