"""Difficulty of each training pair: the certainty of the start model.

    python -m r1reward.recipes.ablation.difficulty

Writes ``difficulty.json``, the probability that it writes the right response word for word, in
the order of the training pairs. The imbalanced setting chooses its pairs by it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, ProcessorMixin

from r1reward.core.pair import Preference
from r1reward.core.preferences import read_preferences
from r1reward.recipes.ablation.policy import Prompt, Samples, collate, encode, load, log_probs
from r1reward.recipes.photos.build import PHOTOS
from r1reward.recipes.tiny.build import CHECKPOINT
from r1reward.recipes.tiny.reasoning import response_text
from r1reward.store.files import write_text

FILE = Path(__file__).with_name("difficulty.json")
EASY, HARD = 0.9, 0.2  # the start model mostly gets these pairs right, and these wrong
_CHUNK = 32


def read_chances(pairs: int) -> list[float]:
    """Return the file's probabilities; ``pairs`` says how many there should be.

    Raises:
        ValueError: when the file is of other training pairs.
    """
    chances: list[float] = json.loads(FILE.read_text(encoding="utf-8"))
    if len(chances) != pairs:
        raise ValueError(
            f"{FILE} has {len(chances)} probabilities for {pairs} training pairs; write it anew "
            "with python -m r1reward.recipes.ablation.difficulty"
        )
    return chances


@torch.no_grad()  # type: ignore[untyped-decorator]
def right_chances(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    preferences: Sequence[Preference],
    prompts: Sequence[Prompt],
) -> list[float]:
    """Return the probability of each preference's right response, as the cold start writes it."""
    chances: list[float] = []
    for start in range(0, len(preferences), _CHUNK):
        texts = [response_text(one, one.label) for one in preferences[start : start + _CHUNK]]
        ids = [torch.tensor(processor.tokenizer(text)["input_ids"]) for text in texts]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)[:, None]
        lengths = torch.tensor([len(row) for row in ids])[:, None, None]
        mask = torch.arange(padded.shape[-1]) < lengths
        samples = Samples(padded, mask, torch.zeros(padded.shape))
        batch = collate(prompts[start : start + _CHUNK], model)
        chances += log_probs(model, batch, samples).sum((1, 2)).exp().tolist()
    return chances


def main() -> None:
    """Write the file."""
    model, processor = load(str(CHECKPOINT), "cpu")
    preferences = list(read_preferences(PHOTOS / "train.jsonl"))
    chances = right_chances(model, processor, preferences, encode(preferences, PHOTOS, processor))
    write_text(FILE, json.dumps([round(chance, 3) for chance in chances]) + "\n")


if __name__ == "__main__":
    main()
