"""The unit of a benchmark: a record and where its result belongs."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from r1reward.core.record import Media, Record

Position = Literal[1, 2]
# What is shown within response 1 and within response 2.
ResponseMedia = tuple[tuple[Media, ...], tuple[Media, ...]]


@dataclass(frozen=True)
class Item:
    """One pair of a benchmark; ``record.label`` is where the better response is shown.

    Attributes:
        record: question, responses, label and media; ``source`` is the benchmark.
        index: number of the row in the benchmark's file, from 0. This, not ``id``, is the key:
            VL-RewardBench repeats 25 of its ids, MM-RLHF-RewardBench has 46 for 170 rows.
        id: the benchmark's own id.
        groups: grouping -> group; an item may be outside of a grouping.
        subgroup: the finest category the benchmark knows.
        cluster: items of one cluster share an image, so that their results are not independent.
        response_media: images within the responses; no shipped benchmark has any.
    """

    record: Record
    index: int
    id: str
    groups: Mapping[str, str]
    subgroup: str
    cluster: str
    response_media: ResponseMedia = ((), ())

    @cached_property
    def uid(self) -> str:
        """Hash of the row's number and texts: the same wherever the images lie, in any order."""
        record = self.record
        better, worse = record.responses[record.label - 1], record.responses[2 - record.label]
        parts = [record.source, self.index, record.question, better, worse]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def shown(self, label: Position) -> "Item":
        """Return this item with the better response at position ``label``."""
        if label == self.record.label:
            return self
        first, second = self.record.responses
        record = replace(self.record, responses=(second, first), label=label)
        return replace(self, record=record, response_media=self.response_media[::-1])
