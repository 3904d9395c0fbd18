"""Supervised fine-tuning of the tiny model: first to see and to judge, then on a biased annotator.

The second part stands for what a cold start on machine annotations is in practice: the model
speaks the format, but it has learned its annotator's faults with it. Here the fault is the one
that users report most, a preference for the first response, and reinforcement learning on the
labels is what removes it.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageEnhance, ImageOps
from rich.progress import track
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, ProcessorMixin

from r1reward.core.media import open_image
from r1reward.core.pair import Preference
from r1reward.core.prompt import build_messages
from r1reward.recipes.tiny.reasoning import response_text

VIEWS = 24  # augmented copies of each photo


@dataclass(frozen=True, slots=True)
class View:
    """One augmented photo as the processor gives it."""

    patches: Tensor  # f32, [patches, 1176]
    grid: Tensor  # i64, [1, 3]: frames, rows, columns of patches

    @property
    def tokens(self) -> int:
        """Placeholders it takes in the prompt: one for every 2 x 2 patches."""
        return int(self.grid.prod()) // 4


@dataclass(frozen=True, slots=True)
class Example:
    """One pair as token ids, split where the image goes."""

    photo: str
    before: list[int]
    after: list[int]
    right: list[int]  # what an annotator who looks writes
    biased: list[int]  # what one writes who believes the first response


def encode(pair: Preference, processor: ProcessorMixin) -> Example:
    """Return the pair's token ids: the real prompt in the real chat template."""
    prompt = processor.apply_chat_template(
        build_messages(pair), tokenize=False, add_generation_prompt=True
    )
    before, after = prompt.split("<|image_pad|>")
    texts = (before, after, response_text(pair, pair.label), response_text(pair, 1))
    return Example(pair.media[0].uri, *(processor.tokenizer(text)["input_ids"] for text in texts))


def augment(image: Image.Image, rng: random.Random) -> Image.Image:
    """Return a random crop, 60 % of each side or more, mirrored at times, in other light."""
    width, height = (int(side * rng.uniform(0.6, 1)) for side in image.size)
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    image = image.crop((left, top, left + width, top + height))
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = change(image).enhance(rng.uniform(0.7, 1.3))
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def make_views(
    preferences: Sequence[Preference],
    media_root: Path,
    processor: ProcessorMixin,
    rng: random.Random,
) -> dict[str, list[View]]:
    """Return ``VIEWS`` augmented copies of each photo of ``preferences``, by its uri."""
    views: dict[str, list[View]] = {}
    for uri in sorted({preference.media[0].uri for preference in preferences}):
        image = open_image(uri, media_root)
        seen = [
            processor.image_processor(images=[augment(image, rng)], return_tensors="pt")
            for _ in range(VIEWS)
        ]
        views[uri] = [View(item["pixel_values"], item["image_grid_thw"]) for item in seen]
    return views


def collate(
    rows: Sequence[tuple[Example, View, list[int]]], image_token: int, pad: int
) -> dict[str, Tensor]:
    """Return a right-padded batch; ``labels`` is -100 outside the response."""
    inputs, labels = [], []
    for example, view, response in rows:
        prompt = [*example.before, *[image_token] * view.tokens, *example.after]
        inputs.append(torch.tensor(prompt + response))
        labels.append(torch.tensor([-100] * len(prompt) + response))
    input_ids = pad_sequence(inputs, batch_first=True, padding_value=pad)
    lengths = torch.tensor([len(ids) for ids in inputs])
    return {
        "input_ids": input_ids,
        "attention_mask": (torch.arange(input_ids.shape[1]) < lengths[:, None]).long(),
        "mm_token_type_ids": (input_ids == image_token).int(),
        "pixel_values": torch.cat([view.patches for _, view, _ in rows]),
        "image_grid_thw": torch.cat([view.grid for _, view, _ in rows]),
        "labels": pad_sequence(labels, batch_first=True, padding_value=-100),
    }


def batches(examples: Sequence[Example], size: int, rng: random.Random) -> Iterator[list[Example]]:
    """Yield shuffled batches of ``size`` for ever, epoch after epoch."""
    queue: list[Example] = []
    while True:
        if len(queue) < size:
            queue += rng.sample(examples, len(examples))
        yield queue[:size]
        del queue[:size]


def train(
    model: PreTrainedModel, processor: ProcessorMixin, examples: Sequence[Example],
    views: dict[str, list[View]], *,
    steps: int, batch_size: int, learning_rate: float, bias: float, rng: random.Random,
    vision_learning_rate: float | None = None,
) -> float:  # fmt: skip
    """Fine-tune ``model`` in place; return the last batch's loss (nats per response token).

    Args:
        model: Qwen2.5-VL.
        processor: its processor.
        examples: what to learn.
        views: the photos of ``examples``.
        steps: optimizer steps, under one cycle of the learning rate.
        batch_size: examples a step.
        learning_rate: peak of the cycle.
        bias: share of responses that come from the biased annotator, drawn anew each time.
        rng: draws batches, views and annotators.
        vision_learning_rate: that of the vision tower, when it has another one.
    """
    rates = {True: vision_learning_rate or learning_rate, False: learning_rate}
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        parts[name.startswith("model.visual.")].append(parameter)
    groups = [{"params": given, "lr": rates[vision]} for vision, given in parts.items()]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
    peaks = list(rates.values())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=steps)
    stream, pad = batches(examples, batch_size, rng), processor.tokenizer.pad_token_id
    model.train()
    for _ in track(range(steps), description=f"{steps} steps"):
        rows = [
            (
                item,
                rng.choice(views[item.photo]),
                item.biased if rng.random() < bias else item.right,
            )
            for item in next(stream)
        ]
        loss = response_loss(model, collate(rows, model.config.image_token_id, pad))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
    return float(loss.detach())


_POSITIONED = ("input_ids", "mm_token_type_ids", "image_grid_thw", "attention_mask")


def response_loss(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """Return the mean cross entropy of the response tokens (nats); on a GPU, in mixed precision."""
    # on the CPU: it goes row by row, and on a GPU would wait for each
    positions, _ = model.model.get_rope_index(**{name: batch[name] for name in _POSITIONED})
    inputs = {name: value.to(model.device) for name, value in batch.items()}
    inputs["position_ids"] = positions.to(model.device)
    labels = inputs.pop("labels")[:, 1:]
    learned, kind = labels != -100, model.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
        hidden = model.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
        logits = model.lm_head(hidden[learned])
    return cross_entropy(logits.float(), labels[learned])
