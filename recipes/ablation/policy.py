"""The policy of the plain loop: a batch of prompts, sampling from it, and log-probabilities.

All samples of a prompt share its forward pass: a row holds the prompt once and then the samples'
tokens, interleaved (token 0 of every sample, token 1 of every sample, ...), and an attention mask
lets a token see its prompt and its own sample alone. This is the computation of one row a sample,
without repeating the prompt; ``tests/recipes/test_ablation.py`` compares the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import (
    AutoProcessor,
    BatchFeature,
    PreTrainedModel,
    ProcessorMixin,
    Qwen2_5_VLForConditionalGeneration,
    StaticCache,
)

from r1reward.core.media import open_image
from r1reward.core.pair import Preference
from r1reward.core.prompt import build_messages


@dataclass(frozen=True, slots=True)
class Prompt:
    """One pair as the processor gives it."""

    ids: Tensor  # i64, [tokens]
    patches: Tensor  # f32, [patches, 1176]
    grid: Tensor  # i64, [1, 3]: frames, rows, columns of patches


@dataclass(frozen=True, slots=True)
class Batch:
    """P prompts, padded on the left to L tokens, with their M-RoPE positions."""

    ids: Tensor  # i64, [P, L]
    mask: Tensor  # bool, [P, L]
    positions: Tensor  # i64, [3, P, L]
    patches: Tensor  # f32, [patches of all, 1176]
    grid: Tensor  # i64, [P, 3]


@dataclass(frozen=True, slots=True)
class Samples:
    """n responses to each of P prompts, T tokens long, padded on the right."""

    ids: Tensor  # i64, [P, n, T]
    mask: Tensor  # bool, [P, n, T]: up to and with the end of the response
    log_probs: Tensor  # f32, [P, n, T]: of the policy that drew them; 0 outside the mask


def load(path: str, device: str) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Return model (f32, no dropout) and processor of a Hugging Face directory."""
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        path, dtype=torch.float32, attn_implementation="sdpa"
    )
    return model.to(device).eval(), AutoProcessor.from_pretrained(path)


def encode(
    preferences: Sequence[Preference], media_root: Path, processor: ProcessorMixin
) -> list[Prompt]:
    """Return the prompts of ``preferences``; a photo that several share is read once."""
    photos: dict[str, BatchFeature] = {}
    prompts = []
    for preference in preferences:
        uri = preference.media[0].uri
        if uri not in photos:
            image = open_image(uri, media_root)
            photos[uri] = processor.image_processor(images=[image], return_tensors="pt")
        seen = photos[uri]
        text = processor.apply_chat_template(
            build_messages(preference), tokenize=False, add_generation_prompt=True
        )
        tokens = int(seen["image_grid_thw"].prod()) // processor.image_processor.merge_size**2
        text = text.replace(processor.image_token, processor.image_token * tokens)
        ids = torch.tensor(processor.tokenizer(text)["input_ids"])
        prompts.append(Prompt(ids, seen["pixel_values"], seen["image_grid_thw"]))
    return prompts


def collate(prompts: Sequence[Prompt], model: PreTrainedModel) -> Batch:
    """Return the prompts as a batch on the model's device."""
    longest = max(len(prompt.ids) for prompt in prompts)
    ids = torch.stack([pad(prompt.ids, (longest - len(prompt.ids), 0)) for prompt in prompts])
    lengths = torch.tensor([len(prompt.ids) for prompt in prompts])
    mask = torch.arange(longest) >= longest - lengths[:, None]
    grid = torch.cat([prompt.grid for prompt in prompts])
    positions, _ = model.model.get_rope_index(
        input_ids=ids,
        mm_token_type_ids=(ids == model.config.image_token_id).int(),
        image_grid_thw=grid,
        attention_mask=mask.long(),
    )
    patches = torch.cat([prompt.patches for prompt in prompts])
    return Batch(*(value.to(model.device) for value in (ids, mask, positions, patches, grid)))


def prompt_embeddings(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Return the prompts' embeddings (P, L, hidden), the image features in their places."""
    embeddings = model.get_input_embeddings()(batch.ids)
    features = model.model.get_image_features(batch.patches, batch.grid).pooler_output
    there = (batch.ids == model.config.image_token_id)[..., None]
    return embeddings.masked_scatter(there, torch.cat(tuple(features)))


def tree_mask(prompt_mask: Tensor, samples: int, tokens: int) -> Tensor:
    """Return who may look at whom, bool (P, 1, L + tokens * samples, same), interleaved."""
    rows, length = prompt_mask.shape
    size, device = length + tokens * samples, prompt_mask.device
    sample = torch.arange(tokens * samples, device=device) % samples
    allowed = torch.ones(size, size, dtype=torch.bool, device=device).tril()
    allowed[length:, length:] &= sample[:, None] == sample
    seen = torch.cat([prompt_mask, prompt_mask.new_ones(rows, tokens * samples)], dim=1)
    # A row of padding sees itself, or its softmax would be one over nothing.
    own = torch.eye(size, dtype=torch.bool, device=device)
    return ((allowed & seen[:, None]) | own)[:, None]


def log_probs(
    model: PreTrainedModel, batch: Batch, samples: Samples, temperature: float = 1.0
) -> Tensor:
    """Return the log-probability of every sampled token, (P, n, T), with gradient.

    What stands outside the samples' mask is the log-probability of padding: not to be read.
    """
    rows, count, tokens = samples.ids.shape
    length = batch.ids.shape[1]
    fed = tokens - 1  # the last token predicts nothing
    sampled = samples.ids[..., :fed].transpose(1, 2).reshape(rows, fed * count)
    embeddings = torch.cat(
        [prompt_embeddings(model, batch), model.get_input_embeddings()(sampled)], dim=1
    )
    steps = torch.arange(1, fed + 1, device=sampled.device).repeat_interleave(count)
    positions = torch.cat([batch.positions, batch.positions[..., -1:] + steps], dim=-1)
    mask = tree_mask(batch.mask, count, fed)
    hidden = model.model.language_model(
        inputs_embeds=embeddings,
        attention_mask={"full_attention": mask},
        position_ids=positions,
        use_cache=False,
    ).last_hidden_state
    # The prompt's last token predicts token 0 of every sample.
    first = hidden[:, length - 1 : length].expand(-1, count, -1)[:, :, None]
    later = hidden[:, length:].view(rows, fed, count, -1).transpose(1, 2)
    logits = model.lm_head(torch.cat([first, later], dim=2)[samples.mask]) / temperature
    chosen = logits.gather(-1, samples.ids[samples.mask][:, None])[:, 0]
    values = chosen - logits.logsumexp(-1)
    return torch.zeros(samples.ids.shape, device=values.device).masked_scatter(samples.mask, values)


@torch.no_grad()  # type: ignore[untyped-decorator]
def generate(
    model: PreTrainedModel, batch: Batch, *, samples: int, tokens: int,
    generator: torch.Generator | None, temperature: float = 1.0,
) -> Samples:  # fmt: skip
    """Return ``samples`` responses a prompt of at most ``tokens`` tokens.

    Args:
        model: the policy.
        batch: the prompts.
        samples: responses a prompt.
        tokens: most tokens of a response; what is longer is cut.
        generator: of the draws; None decodes greedily.
        temperature: of the distribution that is drawn from.
    """
    stops = torch.tensor(model.generation_config.eos_token_id, device=model.device)
    rows, length = batch.ids.shape
    language = model.model.language_model
    mask = tree_mask(batch.mask, samples, tokens)
    cache = StaticCache(config=language.config, max_cache_len=mask.shape[-1])

    def read(embeddings: Tensor, positions: Tensor, start: int) -> Tensor:
        seen = mask[:, :, start : start + embeddings.shape[1]]
        hidden: Tensor = language(
            inputs_embeds=embeddings, attention_mask={"full_attention": seen},
            position_ids=positions, past_key_values=cache, use_cache=True,
        ).last_hidden_state  # fmt: skip
        return hidden

    hidden = read(prompt_embeddings(model, batch), batch.positions, 0)[:, -1:]
    hidden = hidden.expand(-1, samples, -1)
    position = batch.positions[..., -1:].expand(-1, -1, samples)
    unfinished = torch.ones(rows, samples, dtype=torch.bool, device=model.device)
    drawn: list[tuple[Tensor, Tensor, Tensor]] = []
    for step in range(tokens):
        token, log_prob = _draw(model.lm_head(hidden) / temperature, generator)
        drawn.append((token, unfinished, log_prob * unfinished))
        unfinished = unfinished & ~torch.isin(token, stops)
        if step == tokens - 1 or not unfinished.any():
            break
        position = position + 1
        embeddings = model.get_input_embeddings()(token)
        hidden = read(embeddings, position, length + step * samples)
    return Samples(*(torch.stack(column, dim=-1) for column in zip(*drawn, strict=True)))


def _draw(logits: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Return one token of each distribution (..., vocabulary), and its log-probability."""
    logs = logits.log_softmax(-1)
    if generator is None:
        token = logs.argmax(-1, keepdim=True)
    else:
        below = logs.exp().cumsum(-1)
        point = torch.rand(below[..., :1].shape, generator=generator, device=below.device)
        token = torch.searchsorted(below, point * below[..., -1:], right=True)
        token = token.clamp(max=below.shape[-1] - 1)
    return token[..., 0], logs.gather(-1, token)[..., 0]
