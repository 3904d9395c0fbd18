"""Dataset of preferences for verl (``data.custom_cls``)."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from verl.utils.dataset.rl_dataset import RLHFDataset

from r1reward.core.pair import Pair
from r1reward.core.preferences import parse_preference, refuse_parts_in_jsonl
from r1reward.core.prompt import build_messages
from r1reward.core.rows import files_of
from r1reward.store.shards import media_folder


class PreferenceDataset(RLHFDataset):  # type: ignore[misc]
    """Preferences as verl prompts: one row, one pairwise question.

    Reads JSONL and parquet files of :class:`r1reward.core.pair.Preference` rows, or of the released
    R1-Reward-RL schema, and folders of them (:mod:`r1reward.store.shards`), memory-mapped by
    Hugging Face ``datasets``, so that 200k rows cost no memory. verl's own length filter applies:
    it counts tokens after the processor.

    Each item holds ``raw_prompt`` (chat messages with media), ``data_source``, ``reward_model``
    (``ground_truth`` is "1" or "2", the better response), ``extra_info`` (the preference's uid) and
    the ``dummy_tensor`` verl asks for.
    """

    def __init__(self, data_files: str | Sequence[str], *args: object, **kwargs: object) -> None:
        self._given = [data_files] if isinstance(data_files, str) else list(data_files)
        for path in self._given:
            refuse_parts_in_jsonl(Path(path))
        super().__init__([file for path in self._given for file in _shards(path)], *args, **kwargs)

    @cached_property
    def _media_root(self) -> Path:
        return media_folder(Path(self._given[0]), self.config.media_root)

    def _build_messages(self, row: dict[str, object], key: str) -> list[dict[str, object]]:
        return self._messages(parse_preference(row, where=self._files()))

    def _messages(self, pair: Pair) -> list[dict[str, object]]:
        return build_messages(
            pair,
            media_root=self._media_root,
            min_pixels=self.config.min_pixels,
            max_pixels=self.config.max_pixels,
        )

    def _files(self) -> str:
        return ", ".join(map(str, self._given))

    def __getitem__(self, index: int) -> dict[str, object]:
        """Return the item that verl's agent loop and reward loop consume."""
        where = f"{self._files()}:{index + 1}"
        preference = parse_preference(self.dataframe[index], where=where)
        return {
            "raw_prompt": self._messages(preference),
            "data_source": preference.source,
            "reward_model": {"style": "rule", "ground_truth": str(preference.label)},
            "extra_info": {"uid": preference.uid, "index": index},
            "index": index,
            "dummy_tensor": torch.zeros(1, dtype=torch.uint8),
        }


def _shards(path: str) -> list[str]:
    """Return the shards of a folder; verl reads files, by their suffix."""
    return [str(file) for file in files_of(path)] if Path(path).is_dir() else [path]
