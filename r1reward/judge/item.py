"""The unit of a benchmark: a preference and the place of its result."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from r1reward.core.pair import Pair, Position, Preference, text_of


@dataclass(frozen=True, kw_only=True)
class Item(Preference):
    """One preference of a benchmark; ``source`` is the benchmark.

    Attributes:
        index: number of the row in the benchmark's file, from 0. This, not ``id``, is the key:
            VL-RewardBench repeats 25 of its ids, MM-RLHF-RewardBench has 46 for 170 rows.
        id: the benchmark's own id.
        groups: grouping -> group; an item may be outside of a grouping.
        subgroup: the finest category the benchmark knows.
        cluster: items of one cluster share an image, so that their results are not independent.
    """

    index: int
    id: str
    groups: Mapping[str, str]
    subgroup: str
    cluster: str

    @classmethod
    def of(cls, preference: Preference, **place: Any) -> "Item":
        """Return ``preference`` as the item at a place: the attributes that it lacks."""
        own = {field.name: getattr(preference, field.name) for field in fields(Preference)}
        return cls(**own, **place)

    @cached_property
    def uid(self) -> str:
        """Hash of the row's number and texts: the same wherever the images lie, in any order."""
        texts = [text_of(response) for response in self.responses]
        better, worse = texts[self.label - 1], texts[2 - self.label]
        parts = [self.source, self.index, text_of(self.question), better, worse]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def shown(self, label: Position) -> "Item":
        """Return this item with the better response at position ``label``."""
        return self if label == self.label else self.swapped()


def prompt_name(pair: Pair) -> str:
    """Return the name of the prompt that shows ``pair``, for seeds and for blind judges.

    An item's uid is that of both of its orders, so its name also says which one is shown.
    """
    return f"{pair.uid}:{pair.label}" if isinstance(pair, Item) else pair.uid
