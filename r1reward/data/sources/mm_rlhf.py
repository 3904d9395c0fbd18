"""MM-RLHF: three to five answers to a question, ranked by experts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar

from r1reward.core.errors import ConfigError
from r1reward.core.pair import Media
from r1reward.core.rows import Row
from r1reward.data.sources.base import (
    Published,
    RankedSource,
    SourceError,
    identifier,
    number,
    ranked,
    show,
    text,
)

_SUBSETS = ("long", "short", "mcq", "safety", "video")
_PAIR = ("prompt", "chosen", "rejected")
_RANKING = ("question", "models_output", "final_ranking")


@dataclass(frozen=True)
class MMRLHF(RankedSource):
    """Rankings and pairs (arXiv 2502.10391), media unpacked from their archives.

    ``data.jsonl``, or its copy in parquet, has the rankings: ``question``, ``models_output``,
    ``final_ranking`` (1 is the best). ``dpo_pairs.jsonl`` has pairs: ``prompt``, ``chosen``,
    ``rejected``. Both have ``image`` or ``video``, a path that begins with its subset: long,
    short, mcq, safety or video, which is part of the source's name in the records. The pairs are
    as in scripts/convert_to_swift.py of github.com/Kwai-YuanQi/MM-RLHF; fields and direction of
    the ranking are as other public readers have them, for its rows could not be seen offline.

    Attributes:
        subsets: those to take.
    """

    subsets: Sequence[str]
    name: ClassVar[str] = "mm_rlhf"
    published_at: ClassVar[str] = "Hugging Face yifanzhang114/MM-RLHF"
    fields: ClassVar[tuple[str, ...]] = ()  # two forms: see preferences
    example: ClassVar[Row] = {
        "id": "31",
        "question": "How many dogs are there?",
        "image": "short/31.png",
        "models_output": ["There is one dog.", "There are two dogs.", "There is a dog."],
        "final_ranking": [2, 1, 2],
    }

    def __post_init__(self) -> None:
        """Refuse a subset that is none."""
        super().__post_init__()
        if unknown := set(self.subsets) - set(_SUBSETS):
            raise ConfigError(
                f"source.subsets: {', '.join(sorted(unknown))} is none of {', '.join(_SUBSETS)}"
            )

    def preferences(self, row: Row) -> Iterator[Published | SourceError]:
        """Yield the pair, or the pairs of the ranked answers, of the row."""
        pair = row.get("chosen") is not None
        self.require(row, _PAIR if pair else _RANKING)
        media, origin = _media(row), identifier(row, "id")
        subset = _subset(media.uri)
        if subset not in self.subsets:
            raise SourceError("subset", f"{media.uri}: of {subset}, not asked for")
        question = text(row, "prompt" if pair else "question")
        shared: dict[str, Any] = {"question": question, "media": (media,)}
        shared["source"] = f"{self.name}_{subset}"
        if pair:
            chosen, rejected = text(row, "chosen"), text(row, "rejected")
            yield Published.of(chosen=chosen, rejected=rejected, origin=origin, **shared)
            return
        scores, answers = dict[int, float](), dict[int, str]()
        for position, (answer, rank) in enumerate(_ranking(row)):
            try:
                answers[position] = text({"answer": answer}, "answer")
                scores[position] = -number(rank, "final_ranking")
            except SourceError as error:
                yield SourceError(error.reason, f"answer {position}: {error}")
        for better, worse in ranked(scores, self.pairs):
            chosen, rejected = answers[better], answers[worse]
            place = f"{origin}:{better}>{worse}" if origin else ""
            yield Published.of(chosen=chosen, rejected=rejected, origin=place, **shared)


def _ranking(row: Row) -> Iterator[tuple[Any, Any]]:
    answers, ranks = row["models_output"], row["final_ranking"]
    if not isinstance(answers, list) or not isinstance(ranks, list) or len(answers) != len(ranks):
        raise SourceError(
            "schema",
            f"models_output={show(answers)}, final_ranking={show(ranks)}; expected as many ranks "
            "as answers",
        )
    return zip(answers, ranks, strict=True)


def _media(row: Row) -> Media:
    for kind in ("image", "video"):
        if isinstance(path := row.get(kind), str) and path:
            return Media("image" if kind == "image" else "video", path)
    raise SourceError("media", "neither image nor video; one of them holds a path")


def _subset(path: str) -> str:
    found = [part for part in PurePosixPath(path).parts if part in _SUBSETS]
    if not found:
        raise SourceError("subset", f"{path}: in no folder of {', '.join(_SUBSETS)}")
    return found[0]
