"""RLAIF-V: answers of open models, told apart by open models."""

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
class RLAIFV(Source):
    """Parquet with the images inside (83k rows; CC BY-NC).

    Read: ``question``, ``chosen``, ``rejected``, ``image`` (``bytes`` and ``path``), ``idx``; all
    as on its card.
    """

    name: ClassVar[str] = "rlaif_v"
    published_at: ClassVar[str] = "Hugging Face openbmb/RLAIF-V-Dataset"
    fields: ClassVar[tuple[str, ...]] = ("question", "chosen", "rejected", "image")
    example: ClassVar[Row] = {
        "question": "How many dogs are there?",
        "chosen": "There are two dogs.",
        "rejected": "There is one dog.",
        "image": {"bytes": b"\xff\xd8\xff\xe0", "path": "000000000139.jpg"},
        "idx": "4",
    }

    def preferences(self, row: Row) -> Iterator[Published | SourceError]:
        """Yield the one preference of the row."""
        yield Published.of(
            question=text(row, "question"),
            chosen=text(row, "chosen"),
            rejected=text(row, "rejected"),
            media=images(row["image"]),
            source=self.name,
            origin=identifier(row, "idx"),
        )
