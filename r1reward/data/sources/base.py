"""Interface of sources: readers of the rows of one published preference set."""

import glob
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from r1reward.core.errors import ConfigError, UserError
from r1reward.core.fields import PreferenceError, image_field
from r1reward.core.media import ImageError, decode_uri, locate
from r1reward.core.pair import Media, Preference
from r1reward.core.rows import Row

Pairing = Literal["all", "best_worst"]
_PLACEHOLDER = "<image>"


class SourceError(UserError):
    """Why a row, or a part of it, is no preference.

    Attributes:
        reason: one word, counted: ``unreadable`` (no row), ``schema`` (other fields than
            published), ``text``, ``media``, ``score``, ``label`` (a value that says nothing),
            ``tie`` (nothing is better), ``turns`` (a dialogue), ``subset`` (not asked for),
            ``equal`` (two times the same answer).
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Published:
    """A preference as its publisher has it.

    Attributes:
        preference: the better response first, so ``label`` is 1: conversion draws the order. An
            image is a path of its publisher, or, where the set carries the files themselves, a
            data URI; the name of such a file is not kept. A video is the folder of its frames.
        origin: its publisher's id; empty where there is none.
    """

    preference: Preference
    origin: str

    @classmethod
    def of(
        cls,
        *,
        question: str,
        chosen: str,
        rejected: str,
        media: tuple[Media, ...],
        source: str,
        origin: str,
    ) -> "Published":
        """Return the preference for ``chosen``."""
        responses = (chosen, rejected)
        return cls(Preference(question, responses, media, label=1, source=source), origin)


@dataclass(frozen=True)
class Source(ABC):
    """A preference set; subclasses say what a row means.

    Attributes:
        root: folder of the downloaded files.
        files: patterns below it.
        media_root: folder that relative media paths start from, and must not leave.
        name: that of its module and of its file in conf/source.
        published_at: where it comes from, such as Hugging Face owner/name.
        fields: what a row must have; a field may be null.
        example: a row with at least one preference.
    """

    root: str
    files: Sequence[str]
    media_root: str
    name: ClassVar[str]
    published_at: ClassVar[str]
    fields: ClassVar[tuple[str, ...]]
    example: ClassVar[Row]

    @abstractmethod
    def preferences(self, row: Row) -> Iterator[Published | SourceError]:
        """Yield the preferences of a row, and what is wrong with parts of it.

        Raises:
            SourceError: when the row has none.
        """

    def read(self, row: Any) -> Iterator[Published | SourceError]:
        """Yield the preferences of what ought to be a row.

        Raises:
            SourceError: when the row has none.
        """
        if not isinstance(row, Mapping):
            raise SourceError("schema", f"expected an object of fields, found {show(row)}")
        self.require(row, self.fields)
        return self.preferences(row)

    def require(self, row: Row, fields: Sequence[str]) -> None:
        """Raise SourceError when a field is not there, naming those that are."""
        if missing := [field for field in fields if field not in row]:
            raise SourceError(
                "schema",
                f"no {', '.join(missing)}; a row of {self.name} has {', '.join(fields)} "
                f"(found: {', '.join(map(str, row)) or 'nothing'})",
            )

    def patterns(self) -> list[str]:
        """Return ``files``, of which there may be one."""
        return [self.files] if isinstance(self.files, str) else list(self.files)

    def paths(self) -> list[Path]:
        """Return the files that the patterns match, in the order of the patterns."""
        found = [
            path
            for pattern in self.patterns()
            for path in sorted(glob.glob(os.path.join(self.root, pattern), recursive=True))
        ]
        return [Path(path) for path in dict.fromkeys(found) if os.path.isfile(path)]

    def settings(self) -> dict[str, object]:
        """Return all that decides what becomes of a row."""
        return {"name": self.name, **asdict(self)}


@dataclass(frozen=True)
class RankedSource(Source):
    """A set with several ranked responses a row.

    Attributes:
        pairs: which of them are compared, see :func:`ranked`.
    """

    pairs: Pairing

    def __post_init__(self) -> None:
        if self.pairs not in get_args(Pairing):
            choices = " or ".join(get_args(Pairing))
            raise ConfigError(f"source.pairs={self.pairs}: take {choices}")


def text(row: Row, field: str) -> str:
    """Return a text of the row.

    Raises:
        SourceError: when it is none, or empty.
    """
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise SourceError("text", f"{field}={show(value)}; expected a text that is not empty")
    return value


def identifier(row: Row, field: str) -> str:
    """Return the id of a row as text, empty when it has none."""
    value = row.get(field)
    return "" if value is None else str(value)


def images(value: Any) -> tuple[Media, ...]:
    """Return the images of a field, in any of the forms that published sets have.

    Args:
        value: a path, a data URI or base64 (white space does not count), the file's bytes, the
            object ``bytes`` and ``path`` of Hugging Face, a list of these, or nothing.

    Raises:
        SourceError: for anything else.
    """
    if value is None or value == "":
        return ()
    if isinstance(value, list | tuple):
        return tuple(one for item in value for one in images(item))
    if isinstance(value, Mapping):
        content = value.get("bytes")
        value = content if isinstance(content, bytes) else value.get("path") or value
    if isinstance(value, bytes):
        return (Media.embedded(value),)
    if not isinstance(value, str):
        raise SourceError("media", f"an image is {show(value)}; expected a path or the file itself")
    try:
        uri = image_field("image", value)
        if not uri.startswith("data:"):
            return (Media("image", uri),)
        return (Media.embedded(decode_uri(locate(uri, None))),)
    except (PreferenceError, ImageError) as error:
        raise SourceError("media", str(error)) from None


def without_placeholder(question: str) -> str:
    """Return the question without the mark that stands for the image, first or last in it."""
    for mark in (f"{_PLACEHOLDER}\n", f"\n{_PLACEHOLDER}", _PLACEHOLDER):
        question = question.removeprefix(mark).removesuffix(mark)
    return question


def number(value: Any, field: str) -> float:
    """Return a score or a rank, which some publishers write as text.

    Raises:
        SourceError: when it is none.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise SourceError("score", f"{field}={show(value)}; expected a number")
    return found


def ranked(scores: Mapping[int, float], pairing: Pairing) -> list[tuple[int, int]]:
    """Return the better and the worse response of each pair, by position; equal ones make none.

    Args:
        scores: position of a response -> its score; more is better.
        pairing: ``all`` pairs with different scores, or ``best_worst``: the best and the worst
            one, the first in the row where several are.

    Raises:
        SourceError: when no response is better than another.
    """
    better = sorted(scores, key=lambda position: (-scores[position], position))
    pairs = [(one, two) for one, two in combinations(better, 2) if scores[one] > scores[two]]
    if not pairs:
        raise SourceError("tie", f"no response is better than another: {show(dict(scores))}")
    if pairing == "all":
        return pairs
    lowest = min(scores.values())
    return [(better[0], next(one for one in scores if scores[one] == lowest))]


def show(value: Any) -> str:
    """Return a value for a message, cut where it is long."""
    shown = repr(value[:100]) if isinstance(value, str | bytes) else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
