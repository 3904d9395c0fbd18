"""Dataset of annotated preferences for verl's SFT trainer (``data.custom_cls``)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from verl.utils.tokenizer.tokenizer import (
    build_multimodal_processor_inputs,
    get_processor_token_id,
)

from r1reward.core.pair import Pair
from r1reward.core.preferences import parse_preference
from r1reward.core.reasoning import reasoning_of, target_ids
from r1reward.plugin.dataset import PreferenceDataset


class ReasoningDataset(PreferenceDataset):
    """Annotated preferences as prompt and target: RL's own prompt, then the reasoning.

    A subclass of RL's dataset rather than of verl's ``MultiTurnSFTDataset``, so that the prompt's
    tokens and pixels are those of RL by construction, and rows are memory-mapped. verl's class
    reads parquet into every process, tokenises each turn by itself, scales images in its own way,
    and processes each of them twice (verl/utils/dataset/multiturn_sft_dataset.py:262-287).

    An item holds, with L tokens of prompt and target together: ``input_ids`` i64 [L],
    ``loss_mask`` i64 [L] (1 on the reasoning and the token that ends the turn), ``position_ids``
    i64 [4, L] (text, then M-RoPE's frame, row, column) and ``multi_modal_inputs``: what the
    processor made of the media (``pixel_values`` f32 [patches, 1176], ``image_grid_thw``, ...).
    """

    def __init__(
        self,
        parquet_files: str | Sequence[str],
        tokenizer: Any,
        config: Any,
        processor: Any,
        max_samples: int = -1,
    ) -> None:
        super().__init__(parquet_files, tokenizer, config, processor, max_samples)

    def maybe_filter_out_long_prompts(self, dataframe: Any = None) -> Any:
        """Leave out the rows that preflight has listed (``data.dropped``)."""
        dropped = _dropped(Path(self.config.dropped), self._given)
        if not dropped:
            return dataframe
        return dataframe.select([i for i in range(len(dataframe)) if i not in dropped])

    def __getitem__(self, index: int) -> dict[str, object]:
        """Return the item that verl's collator and engine consume."""
        row = self.dataframe[index]
        preference = parse_preference(row, where=f"{self._files()}:{index + 1}")
        media, prompt = self._prompt(preference)
        target = torch.tensor(target_ids(reasoning_of(row, preference), self.tokenizer))
        input_ids = torch.cat([prompt, target])
        return {
            "input_ids": input_ids,
            "loss_mask": torch.cat([torch.zeros_like(prompt), torch.ones_like(target)]),
            "position_ids": self._places(input_ids, media),
            "multi_modal_inputs": media,
        }

    def _prompt(self, pair: Pair) -> tuple[dict[str, object], Tensor]:
        """Return what the media become and the prompt's tokens, as RL's agent loop makes them."""
        messages = self._messages(pair)
        text = self.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, **self.apply_chat_template_kwargs
        )
        images, videos, _ = self._process_multi_modal_info(
            messages, self.image_patch_size, self.config
        )
        made = build_multimodal_processor_inputs(
            self.processor, text=[text], images=images, videos=videos
        )
        inputs = dict(made.convert_to_tensors("pt"))
        prompt: Tensor = inputs.pop("input_ids")[0]
        for name in ("attention_mask", "mm_token_type_ids"):
            inputs.pop(name, None)
        return inputs, prompt

    def _places(self, input_ids: Tensor, media: dict[str, object]) -> Tensor:
        """Return positions, [4, L], as verl's agent loop makes them (agent_loop.py:920-962)."""
        kinds = torch.zeros_like(input_ids)
        for number, kind in enumerate(("image", "video"), start=1):
            kinds[input_ids == get_processor_token_id(self.processor, kind)] = number
        vision, _ = self.processor.get_rope_index(  # verl binds the model's own method
            input_ids=input_ids[None],
            attention_mask=torch.ones_like(input_ids)[None],
            mm_token_type_ids=kinds[None],
            image_grid_thw=media.get("image_grid_thw"),
            video_grid_thw=media.get("video_grid_thw"),
        )
        return torch.cat([torch.arange(len(input_ids))[None], vision[:, 0]])


def _dropped(path: Path, files: list[str]) -> set[int]:
    """Return the numbers, from 0, of the rows of ``files`` that preflight leaves out."""
    if not path.exists():
        return set()
    with open(path, encoding="utf-8") as file:
        entries = [json.loads(line) for line in file]
    return {entry["index"] for entry in entries if entry["files"] == list(map(str, files))}
