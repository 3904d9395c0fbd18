"""One run: sample, reward, learn, and check the validation pairs now and then."""

import copy
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from statistics import fmean

import torch
from omegaconf import DictConfig
from transformers import PreTrainedModel, ProcessorMixin

from r1reward.algorithms import take_metrics
from r1reward.core.pair import Preference
from r1reward.core.preferences import read_preferences
from r1reward.core.verdict import Verdict
from r1reward.recipes.ablation.collapse import flags
from r1reward.recipes.ablation.design import Run, media_root
from r1reward.recipes.ablation.difficulty import EASY, HARD, read_chances
from r1reward.recipes.ablation.policy import Prompt, collate, encode, generate, load, log_probs
from r1reward.recipes.ablation.reward import Scored, Scorer
from r1reward.recipes.ablation.rows import MEANS, End, Means, Step, Validation
from r1reward.recipes.ablation.update import Learner, Rollout, advantages
from r1reward.store.files import write_text

_CHUNK = 92  # validation pairs decoded at once


@dataclass(frozen=True, slots=True)
class Pairs:
    """Preferences with their prompts, in the same order."""

    preferences: list[Preference]
    prompts: list[Prompt]


@dataclass(frozen=True, slots=True)
class Material:
    """What every run of a process starts from; none of it is changed."""

    model: PreTrainedModel
    processor: ProcessorMixin
    train: Pairs
    validation: Pairs


def prepare(config: DictConfig, device: str) -> Material:
    """Load the start model and encode all pairs of a training configuration."""
    model, processor = load(config.actor_rollout_ref.model.path, device)

    def pairs(file: str) -> Pairs:
        preferences = list(read_preferences(Path(file)))
        return Pairs(preferences, encode(preferences, media_root(config), processor))

    return Material(model, processor, pairs(config.data.train_files), pairs(config.data.val_files))


def execute(run: Run, material: Material, file: Path) -> End:
    """Make ``run`` and write its rows into ``file``, whole or not at all; return the last row."""
    rows = [json.dumps(row) for row in _rows(run, material)]
    write_text(file, "\n".join(rows) + "\n")
    last: End = json.loads(rows[-1])
    return last


def _rows(run: Run, material: Material) -> Iterator[Mapping[str, object]]:
    began, cpu = time.monotonic(), time.process_time()
    config = run.config()
    device = material.model.device
    yield {
        "kind": "run",
        **run.header(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }
    torch.manual_seed(run.seed)
    learner = Learner(copy.deepcopy(material.model), config)
    scorer = Scorer(config)
    sample = _sampler(config, material, learner, scorer)
    stream = _stream(material.train, run, config.data.train_batch_size)
    seen: list[Step] = []
    for step in range(1, config.data.steps + 1):
        seen.append({"kind": "step", "step": step, **sample(next(stream), step)})
        yield seen[-1]
        last = step == config.data.steps
        if last or step % config.data.validate_every == 0:
            checked = validate(learner.model, material, scorer, config, texts=last)
            yield {"kind": "validation", "step": step, **checked}
    yield {
        "kind": "end",
        "collapse": flags(seen, checked["accuracy"], config.data.max_response_length),
        "seconds": round(time.monotonic() - began, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


def _sampler(
    config: DictConfig, material: Material, learner: Learner, scorer: Scorer
) -> Callable[[Sequence[tuple[Preference, Prompt]], int], Step]:
    """Return the function that makes one step on a batch of pairs and says what happened."""
    count, limit = config.actor_rollout_ref.rollout.n, config.data.max_response_length
    temperature = config.actor_rollout_ref.rollout.temperature
    device = material.model.device
    generator = torch.Generator(device=device).manual_seed(config.run.seed)

    def step(pairs: Sequence[tuple[Preference, Prompt]], number: int) -> Step:
        prompts = collate([prompt for _, prompt in pairs], learner.model)
        samples = generate(
            learner.model, prompts, samples=count, tokens=limit,
            generator=generator, temperature=temperature,
        )  # fmt: skip
        texts = decode(samples.ids, samples.mask, material.processor)
        labels = [preference.label for preference, _ in pairs for _ in range(count)]
        scored = scorer(texts, labels)
        finals = torch.tensor([one.parts.final for one in scored], device=device)
        take_metrics()
        found = advantages(config, finals.view(len(pairs), count), samples.mask)
        filtered = take_metrics()
        reference = None
        if learner.needs_reference:
            with torch.no_grad():
                reference = log_probs(material.model, prompts, samples, temperature)
        updates = list(learner.update(Rollout(prompts, samples, found, reference)))
        means = _reward_means(scored)
        return {
            **{name: means[name] for name in MEANS},
            "length": float(samples.mask.sum(-1).float().mean()),
            "filtered": filtered.get("advantage/filtered", 0.0),
            "filtered_negative": filtered.get("advantage/filtered_negative", 0.0),
            **_update_means(updates),
        }

    return step


def _reward_means(scored: Sequence[Scored]) -> Means:
    checked = [one for one in scored if one.agreement.consistent is not None]
    return {
        "reward": fmean(one.parts.final for one in scored),
        "accuracy": fmean(one.parts.result for one in scored),
        "format": fmean(one.parts.format for one in scored),
        "consistent": fmean(bool(one.agreement.consistent) for one in checked) if checked else 0.0,
        "first": fmean(
            isinstance(one.verdict, Verdict) and one.verdict.choice == 1 for one in scored
        ),
    }


def _update_means(updates: Sequence[dict[str, float]]) -> Step:
    """Return the largest of what may explode, and the means of the shares."""
    finite = all(isfinite(update[key]) for update in updates for key in ("loss", "grad_norm"))
    return {
        "updates": len(updates),
        "finite": finite,
        "loss": _number(max(abs(update["loss"]) for update in updates)),
        "grad_norm": _number(fmean(update["grad_norm"] for update in updates)),
        "grad_norm_max": _number(max(update["grad_norm"] for update in updates)),
        "preclipped": fmean(update["preclipped"] for update in updates),
        "clipped": fmean(update["actor/pg_clipfrac"] for update in updates),
        "dual_clipped": fmean(
            update.get("actor/dual_clipfrac", update.get("actor/pg_clipfrac_lower", 0.0))
            for update in updates
        ),
        "log_ratio_max": _number(max(update["log_ratio_max"] for update in updates)),
    }


def _number(value: float) -> float | str:
    """Return ``value`` for JSON, which has no NaN and no infinity."""
    return round(value, 6) if isfinite(value) else str(value)


def validate(
    model: PreTrainedModel, material: Material, scorer: Scorer, config: DictConfig, *, texts: bool
) -> Validation:
    """Return accuracy, format, consistency and first-choice rate of greedy answers, by rate.

    Args:
        model: the policy.
        material: holds the validation pairs.
        scorer: checks and scores.
        config: of the run.
        texts: return the answers too, in the order of the pairs.
    """
    pairs, answers = material.validation, []
    for start in range(0, len(pairs.preferences), _CHUNK):
        prompts = collate(pairs.prompts[start : start + _CHUNK], model)
        limit = config.data.max_response_length
        samples = generate(model, prompts, samples=1, tokens=limit, generator=None)
        answers += decode(samples.ids, samples.mask, material.processor)
    means = _reward_means(scorer(answers, [preference.label for preference in pairs.preferences]))
    found = Validation(
        n=len(answers),
        reward=means["reward"],
        accuracy=means["accuracy"],
        format=means["format"],
        consistent=means["consistent"],
        first=means["first"],
    )
    if texts:
        found["texts"] = answers
    return found


def decode(ids: torch.Tensor, mask: torch.Tensor, processor: ProcessorMixin) -> list[str]:
    """Return the texts of responses (P, n, T), prompt by prompt, without special tokens."""
    rows = zip(ids.flatten(0, 1).cpu(), mask.flatten(0, 1).cpu(), strict=True)
    return [processor.tokenizer.decode(row[kept], skip_special_tokens=True) for row, kept in rows]


def _stream(pairs: Pairs, run: Run, size: int) -> Iterator[list[tuple[Preference, Prompt]]]:
    """Yield shuffled batches for ever, epoch after epoch; the same for all variants of a seed."""
    rng = random.Random(run.seed)  # noqa: S311 - not a secret
    chosen = list(zip(pairs.preferences, pairs.prompts, strict=True))
    if run.easy is not None:
        chances = zip(chosen, read_chances(len(chosen)), strict=True)
        graded = [(chance, pair) for pair, chance in chances]
        easy = [pair for chance, pair in graded if chance >= EASY]
        hard = [pair for chance, pair in graded if chance <= HARD]
        chosen = easy + rng.sample(hard, round(len(easy) * (1 - run.easy) / run.easy))
    queue: list[tuple[Preference, Prompt]] = []
    while True:
        if len(queue) < size:
            queue += rng.sample(chosen, len(chosen))
        yield queue[:size]
        del queue[:size]
