"""Accuracy of a judge on preference pairs, by transformers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from transformers import PreTrainedModel, ProcessorMixin

from r1reward.core.intervals import wilson_interval
from r1reward.core.pair import Preference
from r1reward.core.prompt import build_messages
from r1reward.core.verdict import Verdict, parse_verdict

BATCH = 64
NEW_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Score:
    """How many of ``pairs`` were judged right, and how many in the asked format."""

    pairs: int
    right: int
    formatted: int

    def __str__(self) -> str:
        low, high = wilson_interval(self.right, self.pairs)
        return (
            f"{self.right}/{self.pairs} right = {self.right / self.pairs:.1%} "
            f"(95 % interval {low:.1%} to {high:.1%}), "
            f"{self.formatted / self.pairs:.1%} in format"
        )


def generate(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    preferences: Sequence[Preference],
    media_root: Path,
    *,
    sample: bool = False,
) -> Iterator[str]:
    """Yield the judge's text for each preference: greedy, or sampled at temperature 1."""
    processor.tokenizer.padding_side = "left"
    for start in range(0, len(preferences), BATCH):
        chunk = preferences[start : start + BATCH]
        prompts = [
            processor.apply_chat_template(
                build_messages(preference), tokenize=False, add_generation_prompt=True
            )
            for preference in chunk
        ]
        images = [
            [Image.open(media_root / media.uri).convert("RGB") for media in preference.media]
            for preference in chunk
        ]
        inputs = processor(text=prompts, images=images, padding=True, return_tensors="pt").to(
            model.device
        )
        with torch.inference_mode():
            ids = model.generate(
                **inputs, max_new_tokens=NEW_TOKENS, do_sample=sample, temperature=1.0, top_k=0
            )
        new = ids[:, inputs["input_ids"].shape[1] :]
        yield from processor.batch_decode(new, skip_special_tokens=True)


def evaluate(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    preferences: Sequence[Preference],
    media_root: Path,
) -> Score:
    """Return the greedy score on ``preferences``."""
    texts = generate(model, processor, preferences, media_root)
    verdicts = [parse_verdict(text) for text in texts]
    pairs = list(zip(preferences, verdicts, strict=True))
    return Score(
        pairs=len(pairs),
        right=sum(isinstance(v, Verdict) and v.choice == one.label for one, v in pairs),
        formatted=sum(isinstance(verdict, Verdict) and verdict.formatted for verdict in verdicts),
    )
