"""Qwen2.5-VL in miniature: tokenizer, processor, and a model with random weights.

Every part is the real architecture's: windowed and full attention in the vision tower, M-RoPE,
grouped-query attention. Heads are 32 wide, the least that vLLM's CPU attention takes; four query
and two key-value heads allow tensor parallelism of one or two.
"""

import json
import pydoc_data.topics
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX, Qwen2Tokenizer

VOCABULARY = 2048
HIDDEN = 128
LAYERS = 3  # two do not suffice to find which response named what the photo shows
VISION_HIDDEN = 64
PIXELS = {"min_pixels": 4 * 28 * 28, "max_pixels": 16 * 28 * 28}  # 4 to 16 tokens an image
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def english() -> list[str]:
    """Return plain English that every Python carries: the manual's topics."""
    return list(pydoc_data.topics.topics.values())


def train_tokenizer(texts: Iterable[str]) -> Qwen2Tokenizer:
    """Return a byte-level BPE tokenizer with Qwen's splitting and special tokens."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL),
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(alphabet),
    )
    bpe.train_from_iterator(texts, trainer)
    learned = json.loads(bpe.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(merge) for merge in learned["merges"]],
        eos_token=SPECIAL[0],
        pad_token=SPECIAL[0],
        unk_token=None,
        bos_token=None,
        model_max_length=4096,
    )
    tokens = [AddedToken(token, special=True, normalized=False) for token in SPECIAL]
    tokenizer.add_tokens(tokens, special_tokens=True)
    # Only now: the constructor gives its end-of-sequence token the first new id.
    tokenizer.eos_token = SPECIAL[2]
    tokenizer.chat_template = TEMPLATE.read_text(encoding="utf-8")
    return tokenizer


def make_processor(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLProcessor:
    """Return a processor that shows the model at most 16 tokens an image."""
    patches = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**PIXELS, **patches),
        video_processor=Qwen2VLVideoProcessor(**PIXELS, **patches),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )


def make_model(tokenizer: Qwen2Tokenizer, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """Return an f32 model with random weights."""
    token_id = tokenizer.convert_tokens_to_ids
    end, stop = token_id("<|endoftext|>"), token_id("<|im_end|>")
    config = make_config(
        tokenizer,
        text={
            "vocab_size": VOCABULARY,
            "hidden_size": HIDDEN,
            "intermediate_size": 2 * HIDDEN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [4, 6, 6],  # 16:24:24 of Qwen2.5-VL, for heads of 32
            },
            "use_sliding_window": False,
            "max_window_layers": LAYERS,
            "tie_word_embeddings": False,
            "bos_token_id": end,
            "eos_token_id": stop,
            "pad_token_id": end,
        },
        vision={
            "depth": 2,
            "hidden_size": VISION_HIDDEN,
            "intermediate_size": 2 * VISION_HIDDEN,
            "num_heads": VISION_HIDDEN // 32,
            "out_hidden_size": HIDDEN,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
    )
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = greedy(stop=stop, end=end)
    return model


def make_config(
    tokenizer: PreTrainedTokenizerBase, text: dict[str, object], vision: dict[str, object]
) -> Qwen2_5_VLConfig:
    """Return the configuration of a Qwen2.5-VL with these halves and the tokenizer's tokens."""
    token_id = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=text["tie_word_embeddings"],
    )
    config.architectures = ["Qwen2_5_VLForConditionalGeneration"]
    return config


def greedy(*, stop: int, end: int) -> GenerationConfig:
    """Return how to generate: the likeliest token, until one of the two that end a turn."""
    return GenerationConfig(
        bos_token_id=end, pad_token_id=end, eos_token_id=[stop, end], do_sample=False
    )


def save(
    model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, out: Path
) -> None:
    """Write what transformers, verl and vLLM read into ``out``."""
    model.save_pretrained(out)
    processor.save_pretrained(out)
    # verl and vLLM also read the image processor from a file of its own.
    pixels = processor.image_processor.to_dict() | PIXELS
    text = json.dumps(pixels, indent=2, default=str) + "\n"
    (out / "preprocessor_config.json").write_text(text, encoding="utf-8")
    for file in out.iterdir():
        file.chmod(0o644)  # safetensors writes 0600
