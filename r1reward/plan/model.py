"""Size of a Qwen2.5-VL: parameters, FLOPs and cache, from the dimensions in its config.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from r1reward.core.errors import ConfigError

_HALF = 2  # bytes of a bfloat16
_TEXT = {
    "hidden": "hidden_size",
    "mlp": "intermediate_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "vocabulary": "vocab_size",
    "context": "max_position_embeddings",
}
_VISION = {
    "depth": "depth",
    "width": "hidden_size",
    "vision_mlp": "intermediate_size",
    "patch": "patch_size",
    "frames": "temporal_patch_size",
    "merge": "spatial_merge_size",
}


@dataclass(frozen=True)
class Model:
    """Dimensions of a Qwen2.5-VL, by what they are; ``width`` and what follows are the vision's."""

    hidden: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    tied: bool
    depth: int
    width: int
    vision_mlp: int
    patch: int
    frames: int
    merge: int
    channels: int

    @property
    def attention(self) -> int:
        """Width of all query heads together."""
        return self.hidden  # Qwen2.5: the width of a head is hidden / heads

    @property
    def layer(self) -> int:
        """Parameters of a text layer: attention (bias on q, k, v), SwiGLU, two norms."""
        kv = self.hidden // self.heads * self.kv_heads
        attention = 2 * self.hidden * self.attention + 2 * self.hidden * kv
        return attention + self.attention + 2 * kv + 3 * self.hidden * self.mlp + 2 * self.hidden

    @property
    def embedding(self) -> int:
        """Parameters of the token embedding, and of the output layer."""
        return self.vocabulary * self.hidden

    @property
    def block(self) -> int:
        """Parameters of a vision block: attention and SwiGLU with biases, two norms."""
        attention = 4 * self.width * self.width + 4 * self.width
        mlp = 3 * self.width * self.vision_mlp + 2 * self.vision_mlp + self.width
        return attention + mlp + 2 * self.width

    @property
    def vision(self) -> int:
        """Parameters of the vision tower: patch embedding, blocks, merger."""
        patches = self.width * self.channels * self.frames * self.patch**2
        merged = self.width * self.merge**2
        merger = self.width + merged * merged + merged + merged * self.hidden + self.hidden
        return patches + self.depth * self.block + merger

    @property
    def parameters(self) -> int:
        """Parameters, all of them trained."""
        text = self.layers * self.layer + self.hidden
        return text + self.embedding * (1 if self.tied else 2) + self.vision

    @property
    def tensors(self) -> list[tuple[int, int]]:
        """``(how many, numbers in each)`` of the weights; small ones are put together."""
        kv, merged = self.hidden // self.heads * self.kv_heads, self.width * self.merge**2
        large = [
            (2 * self.layers, self.hidden * self.attention),
            (2 * self.layers, self.hidden * kv),
            (3 * self.layers, self.hidden * self.mlp),
            (1 if self.tied else 2, self.embedding),
            (self.depth, 3 * self.width * self.width),
            (self.depth, self.width * self.width),
            (3 * self.depth, self.width * self.vision_mlp),
            (1, merged * merged),
            (1, merged * self.hidden),
        ]
        return [*large, (1, self.parameters - sum(count * size for count, size in large))]

    def pinned(self, number: int, shards: int) -> int:
        """Return the bytes of a shard in page-locked memory, whose blocks are powers of two.

        Args:
            number: bytes of a number.
            shards: of each tensor (https://docs.pytorch.org/docs/main/generated/
                torch.cuda.memory.host_memory_stats.html).
        """
        blocks = ((count, -(-size // shards) * number) for count, size in self.tensors)
        return sum(count * (1 << (size - 1).bit_length()) for count, size in blocks if size)

    @property
    def largest_group(self) -> int:
        """Parameters that FSDP2 gathers at once: a layer, or an embedding (verl wraps these)."""
        return max(self.layer, self.embedding)

    @property
    def kv_bytes(self) -> int:
        """Bytes of a token's keys and values in the engine's cache (bfloat16), all layers."""
        return 2 * self.layers * self.kv_heads * (self.hidden // self.heads) * _HALF

    def image_tokens(self, pixels: int) -> int:
        """Return the tokens that an image of so many pixels is for the text layers."""
        return pixels // (self.patch * self.merge) ** 2

    def activation_bytes(self, tokens: float, image_tokens: float) -> float:
        """Return the bytes that all layers put out in a forward pass: states and MLP, bfloat16.

        Args:
            tokens: of all sequences, image tokens among them.
            image_tokens: of these.
        """
        text = tokens * self.layers * (self.hidden + self.mlp)
        patches = image_tokens * self.merge**2
        return _HALF * (text + patches * self.depth * (self.width + self.vision_mlp))

    def forward_flops(self, tokens: float, image_tokens: float, length: float) -> float:
        """Return the FLOPs of one forward pass with logits for every token.

        Args:
            tokens: of all sequences, image tokens among them.
            image_tokens: of these.
            length: of a sequence, over which attention goes; both halves of it are computed, as
                with an explicit mask.
        """
        text = 2 * tokens * (self.layers * self.layer + self.embedding)
        attention = 4 * tokens * length * self.attention * self.layers
        return text + attention + 2 * image_tokens * self.merge**2 * self.vision


def model_of(path: str) -> Model:
    """Return the model in a folder, or of a hub name: one in models.yaml, or downloaded already.

    Raises:
        ConfigError: for anything else, also for another architecture.
    """
    config = _config(path)
    text = config.get("text_config", config)  # published files have the text's keys at the top
    try:
        return _model(config, text, config["vision_config"])
    except KeyError as key:
        raise ConfigError(f"{path}/config.json: no {key}; only Qwen2.5-VL is planned") from None


def _config(path: str) -> dict[str, Any]:
    file = Path(path) / "config.json"
    if not file.is_file():
        known = yaml.safe_load((Path(__file__).parent / "models.yaml").read_text())
        if path in known:
            return dict(known[path])
        if (downloaded := _downloaded(path)) is None:
            raise ConfigError(
                f"actor_rollout_ref.model.path={path}: no config.json there, and not one of "
                f"{', '.join(known)}; give the folder of the model, or download it"
            )
        file = downloaded
    return dict(json.loads(file.read_text(encoding="utf-8")))


def _downloaded(name: str) -> Path | None:
    """Return config.json of a hub name in Hugging Face's cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:  # a path that is no hub name
        return None
    return Path(found) if isinstance(found, str) else None


def _model(config: dict[str, Any], text: dict[str, Any], vision: dict[str, Any]) -> Model:
    return Model(
        **{name: int(text[key]) for name, key in _TEXT.items()},
        **{name: int(vision[key]) for name, key in _VISION.items()},
        channels=int(vision.get("in_channels", vision.get("in_chans", 3))),
        tied=bool(config.get("tie_word_embeddings", False)),
    )
