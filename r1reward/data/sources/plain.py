"""Your own pairs, one JSON object a line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from r1reward.core.rows import Row
from r1reward.data.sources.base import (
    Published,
    Source,
    SourceError,
    identifier,
    images,
    text,
)


@dataclass(frozen=True)
class Plain(Source):
    """Rows of ``question``, ``chosen``, ``rejected`` and ``image``, in JSONL or parquet.

    ``image`` is a path, a data URI, base64, a list of these, or null; ``id`` may name the row.

    Attributes:
        label: what the set is called in its records, and so in metrics.
    """

    label: str
    name: ClassVar[str] = "plain"
    published_at: ClassVar[str] = "your own files"
    fields: ClassVar[tuple[str, ...]] = ("question", "chosen", "rejected", "image")
    example: ClassVar[Row] = {
        "question": "How many dogs are there?",
        "chosen": "There are two dogs.",
        "rejected": "There is one dog.",
        "image": "dogs.jpg",
    }

    def preferences(self, row: Row) -> Iterator[Published | SourceError]:
        """Yield the one preference of the row."""
        yield Published.of(
            question=text(row, "question"),
            chosen=text(row, "chosen"),
            rejected=text(row, "rejected"),
            media=images(row["image"]),
            source=self.label,
            origin=identifier(row, "id"),
        )
