"""A pair, which a judge compares, and a preference, which says which response is better."""

import base64
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

Position = Literal[1, 2]


@dataclass(frozen=True, slots=True)
class Media:
    """One image or video; ``uri`` is a path (a folder of frames for a video) or a data URI."""

    kind: Literal["image", "video"]
    uri: str

    @classmethod
    def embedded(cls, content: bytes) -> "Media":
        """Return an image that carries its file as a data URI."""
        return cls("image", "data:image;base64," + base64.b64encode(content).decode())


Part = str | Media
# A question or a response. Nearly always it is text alone, and then it is a ``str``. Where images
# or videos stand between the texts, it is a tuple of parts in order (see :func:`joined`).
Content = str | tuple[Part, ...]


def joined(parts: Iterable[Part]) -> Content:
    """Return parts as content: neighbouring texts are one, and text alone is a ``str``."""
    found: list[Part] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(last := found[-1], str):
            found[-1] = last + part
        elif part != "":
            found.append(part)
    match found:
        case []:
            return ""
        case [str(text)]:
            return text
    return tuple(found)


def parts_of(content: Content) -> tuple[Part, ...]:
    """Return the texts, images and videos of ``content`` in order."""
    return (content,) if isinstance(content, str) else content


def text_of(content: Content) -> str:
    """Return the text of ``content``, with ``<image>`` or ``<video>`` where one stands."""
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else f"<{part.kind}>" for part in content)


def same(first: Content, second: Content) -> bool:
    """Return whether two contents say and show the same.

    White space around a text does not count, nor how Unicode composes a letter.
    """
    one, two = (
        [
            unicodedata.normalize("NFC", part.strip()) if isinstance(part, str) else part
            for part in parts_of(content)
        ]
        for content in (first, second)
    )
    return one == two


def media_of(content: Content) -> tuple[Media, ...]:
    """Return the images and videos within ``content`` in order."""
    return tuple(part for part in parts_of(content) if isinstance(part, Media))


@dataclass(frozen=True)
class Pair:
    """A question and two responses to compare.

    Attributes:
        question: the question about the media.
        responses: the two responses, in the order they are shown.
        media: images and videos that are shown before the question, in order; may be empty.
    """

    question: Content
    responses: tuple[Content, Content]
    media: tuple[Media, ...] = ()

    @cached_property
    def uid(self) -> str:
        """Content hash: the first 16 hexadecimal digits of SHA-256 over the canonical row."""
        canonical = json.dumps(
            self.to_row(), sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def is_plain(self) -> bool:
        """Whether question and responses are text alone; ``media`` do not count."""
        return all(isinstance(content, str) for content in self._contents())

    def all_media(self) -> tuple[Media, ...]:
        """Return all images and videos in the order of the prompt."""
        return (*self.media, *(one for content in self._contents() for one in media_of(content)))

    def with_media(self, media: Iterable[Media]) -> Self:
        """Return this pair with other media in the places of :meth:`all_media`, in that order.

        Raises:
            ValueError: for more or fewer media than there are places.
        """
        found, places = tuple(media), len(self.all_media())
        if len(found) != places:
            raise ValueError(f"{len(found)} media for the {places} places of the pair")
        left = iter(found)
        own = tuple(next(left) for _ in self.media)
        question, first, second = (_refilled(content, left) for content in self._contents())
        return replace(self, question=question, responses=(first, second), media=own)

    def swapped(self) -> Self:
        """Return the same pair with the responses in the other order."""
        return replace(self, responses=self.responses[::-1])

    def to_row(self) -> dict[str, Any]:
        """Return the pair as JSON has it."""
        return {
            "question": _row_of(self.question),
            "responses": [_row_of(response) for response in self.responses],
            "media": [asdict(one) for one in self.media],
        }

    def _contents(self) -> tuple[Content, Content, Content]:
        return (self.question, *self.responses)


@dataclass(frozen=True, kw_only=True)
class Preference(Pair):
    """A pair whose better response is known: the unit of training data.

    Attributes:
        label: position of the better response.
        source: data set that the pair comes from; metrics are grouped by it.
    """

    label: Position
    source: str

    def swapped(self) -> Self:
        """Return the same preference with the responses in the other order."""
        label: Position = 2 if self.label == 1 else 1
        return replace(super().swapped(), label=label)

    def to_row(self) -> dict[str, Any]:
        """Return the row that :func:`r1reward.core.preferences.parse_preference` reads."""
        pair = super().to_row()
        media = pair.pop("media")
        return {**pair, "label": self.label, "media": media, "source": self.source}


def _row_of(content: Content) -> Any:
    if not isinstance(content, tuple):
        return content
    return [
        {"kind": "text", "text": part} if isinstance(part, str) else asdict(part)
        for part in content
    ]


def _refilled(content: Content, media: Iterator[Media]) -> Content:
    if isinstance(content, str):
        return content
    return tuple(part if isinstance(part, str) else next(media) for part in content)
