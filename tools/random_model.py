"""Make a Qwen2.5-VL of a published size with random weights: ``r1reward random-model``.

It judges nothing, and costs exactly what the real one costs. The tokenizer is the tiny model's:
tokens beyond it have a logit of zero, so that none is ever the likeliest one.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from r1reward.cli.command import run_command
from r1reward.config.compose import package_file
from r1reward.config.tree import plain
from r1reward.core.errors import ConfigError
from r1reward.machine.console import console_on

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Qwen2_5_VLConfig

_TINY = package_file("recipes/tiny/checkpoint")
# What both sizes share (config.json of Qwen/Qwen2.5-VL-7B-Instruct).
_TEXT = {
    "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1000000.0,
        "mrope_section": [16, 24, 24],
    },
    "use_sliding_window": False,
}
_VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "num_heads": 16,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "tokens_per_second": 2,
}


def make(cfg: DictConfig) -> None:
    """Draw the weights and write the folder.

    Raises:
        ConfigError: for a size that is not there, or a folder that is.
    """
    console = console_on(sys.stdout)
    out = Path(cfg.out)
    if cfg.size not in cfg.sizes:
        raise ConfigError(f"size={cfg.size}: give one of {', '.join(map(str, cfg.sizes))}")
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"out={out} is not empty; remove it, or give another folder")
    parameters = _write(cfg, out)
    console.print(f"{out}: {parameters / 1e9:.2f} billion parameters, {cfg.dtype}", markup=False)


def _write(cfg: DictConfig, out: Path) -> int:
    import torch
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    processor = AutoProcessor.from_pretrained(_TINY)
    device = cfg.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(cfg.seed)
    torch.set_default_dtype(getattr(torch, cfg.dtype))
    with torch.device(device):
        model = Qwen2_5_VLForConditionalGeneration(_config(cfg, processor.tokenizer))
    torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        model.lm_head.weight[len(processor.tokenizer) :] = 0
    ends = {key: getattr(model.config.text_config, key) for key in ("bos_token_id", "pad_token_id")}
    model.generation_config.update(**ends, eos_token_id=model.config.text_config.eos_token_id)
    model.save_pretrained(out)
    pixels = {"min_pixels": 4 * 28 * 28, "max_pixels": int(cfg.max_pixels)}
    size = {"shortest_edge": pixels["min_pixels"], "longest_edge": pixels["max_pixels"]}
    for part in (processor.image_processor, processor.video_processor):
        part.size = size
        for name, value in pixels.items():
            setattr(part, name, value)
    processor.save_pretrained(out)
    text = json.dumps(processor.image_processor.to_dict() | pixels, indent=2, default=str)
    (out / "preprocessor_config.json").write_text(text + "\n", encoding="utf-8")
    return sum(parameter.numel() for parameter in model.parameters())


def _config(cfg: DictConfig, tokenizer: "PreTrainedTokenizerBase") -> "Qwen2_5_VLConfig":
    from r1reward.recipes.tiny.model import make_config

    size = plain(cfg.sizes[cfg.size])
    token_id = tokenizer.convert_tokens_to_ids
    return make_config(
        tokenizer,
        text=_TEXT
        | size["text"]
        | {
            "max_window_layers": size["text"]["num_hidden_layers"],
            "bos_token_id": token_id("<|endoftext|>"),
            "pad_token_id": token_id("<|endoftext|>"),
            "eos_token_id": token_id("<|im_end|>"),
        },
        vision=_VISION | size["vision"],
    )


def main() -> None:
    """Run the command line."""
    run_command("random_model", make)


if __name__ == "__main__":
    main()
