"""The shipped tiny model: what it is, that it speaks the format, and that its recipe is seeded."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from r1reward.core.preferences import read_preferences
from r1reward.core.prompt import build_messages
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.recipes.tiny import build as recipe
from r1reward.recipes.tiny.evaluate import evaluate, generate

PHOTOS = recipe.PHOTOS


@pytest.fixture(scope="module")
def judge():
    processor = AutoProcessor.from_pretrained(recipe.CHECKPOINT)
    return AutoModelForImageTextToText.from_pretrained(recipe.CHECKPOINT), processor


def test_it_is_small_safe_and_readable_by_all() -> None:
    files = list(recipe.CHECKPOINT.iterdir())
    assert sum(file.stat().st_size for file in files) < 12_000_000
    assert not {file.suffix for file in files} & {".bin", ".pt", ".py", ".pkl"}
    assert all(file.stat().st_mode & 0o444 == 0o444 for file in files)
    config = json.loads((recipe.CHECKPOINT / "config.json").read_text())
    assert config["architectures"] == ["Qwen2_5_VLForConditionalGeneration"]
    weights = load_file(recipe.CHECKPOINT / "model.safetensors")
    assert 1_000_000 < sum(w.numel() for w in weights.values()) < 5_000_000
    assert all(w.isfinite().all() for w in weights.values())


def test_the_prompt_fits_the_configured_length(judge) -> None:
    _, processor = judge
    for record in list(read_preferences(PHOTOS / "validation.jsonl"))[:20]:
        text = processor.apply_chat_template(
            build_messages(record), tokenize=False, add_generation_prompt=True
        )
        assert text.count("<|image_pad|>") == 1
        assert len(processor.tokenizer(text)["input_ids"]) + 16 <= 384


def test_it_speaks_the_format_beats_chance_and_is_far_from_right(judge) -> None:
    score = evaluate(*judge, list(read_preferences(PHOTOS / "validation.jsonl")), PHOTOS)
    assert score.pairs == 184
    assert score.formatted / score.pairs >= 0.95
    assert 0.5 < score.right / score.pairs < 0.7


def test_it_believes_the_first_response(judge) -> None:
    """The fault of its cold start, which training is there to remove."""
    records = list(read_preferences(PHOTOS / "validation.jsonl"))
    verdicts = [parse_verdict(text) for text in generate(*judge, records, PHOTOS)]
    first = [verdict.choice == 1 for verdict in verdicts if isinstance(verdict, Verdict)]
    assert sum(first) / len(first) > 0.7  # a fair judge of these pairs says 1 half of the time


def test_the_recipe_is_seeded(tmp_path) -> None:
    weights = []
    for name in ("a", "b"):
        short = {"steps": 2, "batch_size": 32, "learning_rate": 1e-3, "bias": 0.5}
        recipe.build(tmp_path / name, 3, {"short": short}, unseen=8)
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
