"""VLFeedback: four answers of twelve models to a question, rated by GPT-4V."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from r1reward.core.rows import Row
from r1reward.data.sources.base import (
    Published,
    RankedSource,
    SourceError,
    images,
    number,
    ranked,
    show,
    text,
)

_FIELDS = {"annotations", "response"}


@dataclass(frozen=True)
class VLFeedback(RankedSource):
    """80,258 rows of ``vlfeedback_80k.jsonl`` or parquet.

    Read: ``id``, ``prompt``, ``completions`` (of each: ``response`` and ``annotations``, aspect ->
    ``Rating``), and the image: ``image`` in parquet, else ``<id>.jpg`` of ``merged_images.zip``.
    The card says that completions are a sequence of structs, which is a list of objects in JSONL
    and one object of lists in parquet; both are read. As in the publisher's run_dpo.py, the score
    of an answer is the mean of its ratings (Helpfulness, Visual Faithfulness, Ethical
    Considerations), and an answer with a rating that is no number is in no pair. Rows could not be
    seen offline.
    """

    name: ClassVar[str] = "vlfeedback"
    published_at: ClassVar[str] = "Hugging Face MMInstruction/VLFeedback"
    fields: ClassVar[tuple[str, ...]] = ("id", "prompt", "completions")
    example: ClassVar[Row] = {
        "id": "svit-1",
        "prompt": "How many dogs are there?",
        "completions": [
            {
                "response": "There are two dogs.",
                "annotations": {
                    "Helpfulness": {"Rating": "5"},
                    "Visual Faithfulness": {"Rating": "5"},
                },
            },
            {
                "response": "There is one dog.",
                "annotations": {
                    "Helpfulness": {"Rating": "3"},
                    "Visual Faithfulness": {"Rating": "1"},
                },
            },
        ],
    }

    def preferences(self, row: Row) -> Iterator[Published | SourceError]:
        """Yield the pairs of the row's answers, and the answers that are in none."""
        question, scores, answers = text(row, "prompt"), dict[int, float](), dict[int, str]()
        for position, completion in enumerate(_completions(row["completions"])):
            try:
                answers[position] = text(completion, "response")
                scores[position] = _score(completion["annotations"])
            except SourceError as error:
                yield SourceError(error.reason, f"completion {position}: {error}")
        media = images(row.get("image") or f"{row['id']}.jpg")
        for better, worse in ranked(scores, self.pairs):
            yield Published.of(
                question=question,
                chosen=answers[better],
                rejected=answers[worse],
                media=media,
                source=self.name,
                origin=f"{row['id']}:{better}>{worse}",
            )


def _completions(value: Any) -> Sequence[Mapping[str, object]]:
    """Return the answers as a list of objects."""
    if isinstance(value, Mapping) and set(value) >= _FIELDS:
        columns = [value[field] for field in _FIELDS]
        if all(isinstance(column, list) for column in columns) and len({*map(len, columns)}) == 1:
            return [dict(zip(_FIELDS, one, strict=True)) for one in zip(*columns, strict=True)]
    if isinstance(value, list) and all(
        isinstance(one, Mapping) and set(one) >= _FIELDS for one in value
    ):
        return value
    raise SourceError("schema", f"completions={show(value)}; expected annotations and responses")


def _score(annotations: Any) -> float:
    if not isinstance(annotations, Mapping) or not annotations:
        raise SourceError("score", f"annotations={show(annotations)}; expected aspects, rated")
    ratings = [
        number(given.get("Rating") if isinstance(given, Mapping) else given, aspect)
        for aspect, given in annotations.items()
    ]
    return sum(ratings) / len(ratings)
