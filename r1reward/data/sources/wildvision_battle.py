"""WildVision-Battle: people's votes between the answers of two models."""

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

_BETTER = {
    "model_a": ("conversation_a", "conversation_b"),
    "model_b": ("conversation_b", "conversation_a"),
}
_TIES = ("tie", "tie (bothbad)")


@dataclass(frozen=True)
class WildVisionBattle(Source):
    """Parquet with the images inside (ODC-By).

    Read: ``question_id``, ``image``, ``winner`` (model_a, model_b, tie, tie (bothbad)) and
    ``conversation_a`` and ``conversation_b`` (turns of ``role`` and ``content``), as the code of
    WildVision-Arena writes them and the card of WildVision/wildvision-internal-data lists them;
    the set's own card could not be seen offline. Only battles of one turn are pairs: in a longer
    one the votes are for two different dialogues.
    """

    name: ClassVar[str] = "wildvision_battle"
    published_at: ClassVar[str] = "Hugging Face WildVision/wildvision-battle"
    fields: ClassVar[tuple[str, ...]] = (
        "question_id",
        "conversation_a",
        "conversation_b",
        "winner",
        "image",
    )
    example: ClassVar[Row] = {
        "question_id": "9f",
        "conversation_a": [
            {"role": "user", "content": "How many dogs are there?"},
            {"role": "assistant", "content": "There are two dogs."},
        ],
        "conversation_b": [
            {"role": "user", "content": "How many dogs are there?"},
            {"role": "assistant", "content": "There is one dog."},
        ],
        "winner": "model_a",
        "image": {"bytes": b"\xff\xd8\xff\xe0", "path": None},
    }

    def preferences(self, row: Row) -> Iterator[Published | SourceError]:
        """Yield the one preference of the row."""
        winner = row["winner"]
        if winner in _TIES:
            raise SourceError("tie", f"winner={winner!r}")
        if winner not in _BETTER:
            expected = ", ".join((*_BETTER, *_TIES))
            raise SourceError("label", f"winner={show(winner)}; expected {expected}")
        better, worse = _BETTER[winner]
        question, chosen = _turn(row, better)
        other, rejected = _turn(row, worse)
        if question != other:
            raise SourceError("turns", f"two questions: {show(question)} and {show(other)}")
        yield Published.of(
            question=without_placeholder(question),
            chosen=chosen,
            rejected=rejected,
            media=images(row["image"]),
            source=self.name,
            origin=identifier(row, "question_id"),
        )


def _turn(row: Row, field: str) -> tuple[str, str]:
    """Return what the user and what the model said."""
    turns: Any = row[field]
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise SourceError("schema", f"{field}={show(turns)}; expected turns of role and content")
    if [turn.get("role") for turn in turns] != ["user", "assistant"]:
        raise SourceError("turns", f"{field} has {len(turns)} turns; a question and an answer fit")
    return text(turns[0], "content"), text(turns[1], "content")
