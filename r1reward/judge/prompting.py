"""The judging prompt of an item: r1reward's, plus media within the responses."""

from pathlib import Path
from typing import Any

from r1reward.core.prompt import PROMPT, build_messages
from r1reward.core.record import Media, Record
from r1reward.judge.item import Item


def item_messages(
    item: Item,
    *,
    media_root: Path | str | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> list[dict[str, Any]]:
    """Return the chat of :func:`r1reward.core.prompt.build_messages` for ``item``.

    Media of a response follow its text; the texts together are the very same prompt.

    Raises:
        ImageError: for a path that leaves ``media_root`` or a video without frames.
    """

    def content(record: Record) -> list[dict[str, Any]]:
        [turn] = build_messages(
            record, media_root=media_root, min_pixels=min_pixels, max_pixels=max_pixels
        )
        return list(turn["content"])

    *media, text = content(item.record)
    if not any(item.response_media):
        return [{"role": "user", "content": [*media, text]}]

    def parts(shown: tuple[Media, ...]) -> list[dict[str, Any]]:
        record = item.record
        alone = Record(record.question, record.responses, record.label, shown, record.source)
        return content(alone)[:-1]

    head, middle, tail = _split(text["text"], item.record)
    first, second = item.response_media
    texts = [{"type": "text", "text": piece} for piece in (head, middle, tail)]
    shown = [texts[0], *parts(first), texts[1], *parts(second), texts[2]]
    return [{"role": "user", "content": [*media, *shown]}]


def _split(text: str, record: Record) -> tuple[str, str, str]:
    """Cut the rendered prompt after each response."""
    question, answer1, answer2 = "{question}", "{answer1}", "{answer2}"
    first, second = record.responses
    before = PROMPT.index(answer1) - len(question) + len(record.question)
    one = before + len(first)
    between = PROMPT.index(answer2) - PROMPT.index(answer1) - len(answer1)
    two = one + between + len(second)
    return text[:one], text[one:two], text[two:]
