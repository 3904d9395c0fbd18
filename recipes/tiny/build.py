"""Construction of the tiny Qwen2.5-VL: random weights, then two rounds of fine-tuning.

    python -m r1reward.recipes.tiny.build [--out DIR] [--seed 0]

Needs no download and about ten minutes of two CPU cores. Only training photos are learned from;
the validation pairs are judged at the end of each round.
"""

import argparse
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Required, TypedDict

from transformers import PreTrainedModel, ProcessorMixin

from r1reward.cli.command import user_errors
from r1reward.core.pair import Preference, text_of
from r1reward.core.preferences import read_preferences
from r1reward.core.prompt import PROMPT
from r1reward.recipes.photos.build import PHOTOS
from r1reward.recipes.tiny.cold_start import encode, make_views, train
from r1reward.recipes.tiny.evaluate import evaluate
from r1reward.recipes.tiny.model import english, make_model, make_processor, save, train_tokenizer
from r1reward.recipes.tiny.reasoning import response_text

CHECKPOINT = Path(__file__).resolve().parent / "checkpoint"
BATCH_SIZE = 32


class Round(TypedDict, total=False):
    """Arguments of :func:`r1reward.recipes.tiny.cold_start.train`."""

    steps: Required[int]
    batch_size: Required[int]
    learning_rate: Required[float]
    bias: Required[float]
    vision_learning_rate: float


# What pretraining gives a real model: it sees, compares and concludes.
SEEING: Round = {"steps": 1100, "batch_size": BATCH_SIZE, "learning_rate": 2e-3, "bias": 0.0}
# The cold start: the annotator believes the first response in 60 % of the cases, without looking.
COLD_START: Round = {"steps": 60, "batch_size": BATCH_SIZE, "learning_rate": 3e-4, "bias": 0.6}


def tokenizer_texts(preferences: list[Preference]) -> list[str]:
    """Return the text to train the tokenizer on, heavy with what the judge reads and writes."""
    pairs = [text for one in preferences for text in _texts(one)]
    return english() + [PROMPT] * 500 + pairs


def _texts(preference: Preference) -> Iterator[str]:
    yield from map(text_of, (preference.question, *preference.responses))
    yield response_text(preference, preference.label)


def build(out: Path, seed: int, rounds: Mapping[str, Round], unseen: int | None = None) -> None:
    """Make the tiny model and teach it (see :func:`teach`)."""
    tokenizer = train_tokenizer(tokenizer_texts(list(read_preferences(PHOTOS / "train.jsonl"))))
    teach(make_model(tokenizer, seed), make_processor(tokenizer), out, seed, rounds, unseen)


def teach(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    out: Path,
    seed: int,
    rounds: Mapping[str, Round],
    unseen: int | None = None,
) -> None:
    """Teach a model the photos, print its score after each round, and write it to ``out``.

    Args:
        model: Qwen2.5-VL, on the device to train on.
        processor: its processor.
        out: directory of the model.
        seed: of batches and augmentation.
        rounds: by name, the arguments of :func:`r1reward.recipes.tiny.cold_start.train`.
        unseen: validation pairs to judge; all when None.
    """
    started = time.perf_counter()
    preferences = list(read_preferences(PHOTOS / "train.jsonl"))
    held_out = list(read_preferences(PHOTOS / "validation.jsonl"))[:unseen]
    rng = random.Random(seed)  # noqa: S311 - not a secret
    examples = [encode(preference, processor) for preference in preferences]
    views = make_views(preferences, PHOTOS, processor, rng)
    for name, settings in rounds.items():
        loss = train(model, processor, examples, views, rng=rng, **settings)
        score = evaluate(model, processor, held_out, PHOTOS)
        seconds = time.perf_counter() - started
        print(f"{name}: loss {loss:.3f}, validation {score} ({seconds:.0f} s)", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    save(model, processor, out)
    print(f"{model.num_parameters():,} parameters in {out}")


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description="Make the tiny Qwen2.5-VL.")
    parser.add_argument("--out", type=Path, default=CHECKPOINT)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with user_errors():
        build(options.out, options.seed, {"seeing": SEEING, "cold start": COLD_START})


if __name__ == "__main__":
    main()
