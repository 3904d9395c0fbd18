"""POVID: answers of GPT-4V, and the same with hallucinations written into them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from r1reward.core.rows import Row
from r1reward.data.sources.base import (
    Published,
    Source,
    SourceError,
    identifier,
    images,
    show,
    text,
    without_placeholder,
)


@dataclass(frozen=True)
class POVID(Source):
    """A .json list of 17k pairs.

    Read: ``id``, ``image`` (a path to a COCO 2014 training image), ``conversations`` and
    ``rejected_conversations`` (one turn of ``human`` and one of ``gpt``; ``from`` and ``value``),
    as in the README of github.com/YiyangZhou/POVID. Rows could not be seen offline: a dialogue of
    more turns, and questions that differ, are refused.

    Attributes:
        prefix: how its image paths begin, before the part below ``media_root``.
    """

    prefix: str
    name: ClassVar[str] = "povid"
    published_at: ClassVar[str] = "Hugging Face YiyangAiLab/POVID_preference_data_for_VLLMs"
    fields: ClassVar[tuple[str, ...]] = ("id", "image", "conversations", "rejected_conversations")
    example: ClassVar[Row] = {
        "id": "COCO_train2014_000000353952",
        "image": "./data/coco/COCO_train2014_000000353952.jpg",
        "conversations": [
            {"from": "human", "value": "<image>\nHow many dogs are there?"},
            {"from": "gpt", "value": "There are two dogs."},
        ],
        "rejected_conversations": [
            {"from": "human", "value": "<image>\nHow many dogs are there?"},
            {"from": "gpt", "value": "There are two dogs and a cat."},
        ],
    }

    def preferences(self, row: Row) -> Iterator[Published | SourceError]:
        """Yield the one preference of the row."""
        question, chosen = _turn(row, "conversations")
        other, rejected = _turn(row, "rejected_conversations")
        if question != other:
            raise SourceError("turns", f"two questions: {show(question)} and {show(other)}")
        image = row["image"]
        yield Published.of(
            question=without_placeholder(question),
            chosen=chosen,
            rejected=rejected,
            media=images(image.removeprefix(self.prefix) if isinstance(image, str) else image),
            source=self.name,
            origin=identifier(row, "id"),
        )


def _turn(row: Row, field: str) -> tuple[str, str]:
    """Return what the human and what the model said."""
    turns: Any = row[field]
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise SourceError("schema", f"{field}={show(turns)}; expected turns of from and value")
    if [turn.get("from") for turn in turns] != ["human", "gpt"]:
        who = ", ".join(show(turn.get("from")) for turn in turns)
        raise SourceError("turns", f"{field} has turns of {who}; one of human and one of gpt fit")
    return text(turns[0], "value"), text(turns[1], "value")
