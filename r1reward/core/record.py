"""The one record of training and evaluation: a question, two responses, and which is better."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from r1reward.core.errors import UserError
from r1reward.core.rows import Row, RowError, scan_rows

_HEADING = {n: re.compile(rf"^#+ \[Response {n}\]:[ \t]*\n?", re.MULTILINE) for n in (1, 2)}
_OUTPUT_HEADING = re.compile(r"^#+ \*\*Output Format", re.MULTILINE)
_LABEL = re.compile(r"\s*<answer>\s*([12])\s*</answer>\s*")
# How base64 of JPEG, PNG, GIF, WebP and BMP begins.
_BASE64_IMAGE = re.compile(r"(/9j/|iVBOR|R0lG|UklG|Qk)[A-Za-z0-9+/=\s]{60,}")
_SURROGATE = re.compile("[\ud800-\udfff]")


class RecordError(UserError):
    """A row that is not a record: ``<file>:<row>: what is wrong; what to do``."""


@dataclass(frozen=True, slots=True)
class Media:
    """One image or video; ``uri`` is a path (a folder of frames for a video) or a data URI."""

    kind: Literal["image", "video"]
    uri: str


@dataclass(frozen=True)
class Record:
    """A pairwise preference about a question and its media.

    Attributes:
        question: what was asked about the media.
        responses: the two answers, in the order they are shown.
        label: the better response, 1 or 2.
        media: what the question is about, in order; may be empty.
        source: data set the record comes from; metrics are grouped by it.
    """

    question: str
    responses: tuple[str, str]
    label: Literal[1, 2]
    media: tuple[Media, ...]
    source: str

    @cached_property
    def uid(self) -> str:
        """Content hash: the first 16 hexadecimal digits of SHA-256 over the canonical row."""
        canonical = json.dumps(
            self.to_row(), sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def to_row(self) -> dict[str, Any]:
        """Return the row that :meth:`from_row` reads."""
        return {
            "question": self.question,
            "responses": list(self.responses),
            "label": self.label,
            "media": [asdict(item) for item in self.media],
            "source": self.source,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any], *, where: str) -> "Record":
        """Return the record of one row, in our schema or the released R1-Reward-RL schema.

        Ours: ``question``, ``responses`` (two), ``label`` (1 or 2), ``media`` (list of ``kind``
        and ``uri``), ``source``. Released (Hugging Face yifanzhang114/R1-Reward-RL): ``question``,
        ``message`` (a chat as a JSON string, with the two responses in its prompt), ``answer``
        (``["<answer>2</answer>"]``) and ``image`` (path, data URI or plain base64; without it
        the image of the chat counts).

        Args:
            row: the columns.
            where: file and row, for messages.

        Raises:
            RecordError: naming ``where``, the field, and what to do.
        """
        if not isinstance(row, Mapping):
            raise RecordError(f"{where}: expected an object of fields, found {_show(row)}")
        try:
            return _released(row) if "message" in row else _ours(row)
        except RecordError as error:
            raise RecordError(f"{where}: {error}") from None


def read_records(path: Path | str) -> Iterator[Record]:
    """Yield the records of a ``.jsonl`` or ``.parquet`` file, or a folder, in constant memory.

    Raises:
        RecordError: for the first row that is not a record.
    """
    for _, item in scan_records(path):
        if isinstance(item, RecordError):
            raise item
        yield item


def scan_records(path: Path | str) -> Iterator[tuple[str, Record | RecordError]]:
    """Yield, for each row of a file or folder, ``<file>:<row>`` and its record or its error.

    Raises:
        RecordError: when it is neither JSONL nor parquet, or cannot be read at all.
    """
    try:
        for where, row in scan_rows(path):
            yield where, record_of(where, row)
    except RowError as error:
        raise RecordError(str(error)) from None


def record_of(where: str, row: Row | RowError) -> Record | RecordError:
    """Return the record of one row of :func:`.rows.scan_rows`, or what is wrong with it."""
    try:
        return (
            RecordError(str(row))
            if isinstance(row, RowError)
            else Record.from_row(row, where=where)
        )
    except RecordError as error:
        return error


def _ours(row: Mapping[str, Any]) -> Record:
    missing = [
        name for name in ("question", "responses", "label", "source") if row.get(name) is None
    ]
    if missing:
        raise RecordError(
            f"no {', '.join(missing)}; a record has question, responses, label, media and source "
            f"(found: {', '.join(map(str, row)) or 'nothing'})"
        )
    responses, label = row["responses"], row["label"]
    if not isinstance(responses, list | tuple) or len(responses) != 2:
        raise RecordError(f"responses={_show(responses)}; give a list of exactly two texts")
    if label not in (1, 2) or isinstance(label, bool):
        raise RecordError(f"label={_show(label)}; give 1 or 2, the better response")
    return Record(
        question=_text("question", row["question"]),
        responses=(_text("responses[0]", responses[0]), _text("responses[1]", responses[1])),
        label=1 if label == 1 else 2,
        media=() if row.get("media") is None else _media(row["media"]),
        source=_text("source", row["source"]),
    )


def _media(items: Any) -> tuple[Media, ...]:
    if not isinstance(items, list | tuple):
        raise RecordError(f"media={_show(items)}; give a list of objects with kind and uri")
    media = []
    for item in items:
        if not isinstance(item, Mapping) or item.get("kind") not in ("image", "video"):
            raise RecordError(f"media holds {_show(item)}; give kind 'image' or 'video', and a uri")
        content = item.get("bytes")
        if isinstance(content, bytes) and content:  # the file itself, in shards that embed media
            uri = "data:image;base64," + base64.b64encode(content).decode()
        else:
            uri = _text("media uri", item.get("uri"))
        media.append(Media(item["kind"], uri))
    return tuple(media)


def _released(row: Mapping[str, Any]) -> Record:
    question = _text("question", row.get("question"))
    prompt, images = _chat(row["message"])
    first, second = _responses(prompt, question)
    if row.get("image"):  # the column holds the image; the path in the chat is its publisher's
        images = [row["image"]]
    return Record(
        question=question,
        responses=(first, second),
        label=_label(row.get("answer")),
        media=tuple(Media("image", image_uri(image)) for image in images),
        source="r1_reward_rl",
    )


def _chat(message: Any) -> tuple[str, list[Any]]:
    """Return the text and the images of the chat's only user turn."""
    try:
        turns = json.loads(message) if isinstance(message, str) else message
        [content] = [turn["content"] for turn in turns if turn["role"] == "user"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        return text, [part["image"] for part in parts if part["type"] == "image"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RecordError(
            f"message={_show(message)}; give a chat with one user turn, as a JSON string"
        ) from None


def _responses(prompt: str, question: str) -> tuple[str, str]:
    """Return the two responses that a released prompt shows under their headings."""
    start = prompt.find(question)  # headings inside the question are not headings
    start = start + len(question) if start >= 0 else 0
    headings = {n: list(_HEADING[n].finditer(prompt, start)) for n in (1, 2)}
    if any(len(found) != 1 for found in headings.values()):
        counts = " and ".join(f"{len(headings[n])} of '[Response {n}]:'" for n in (1, 2))
        raise RecordError(f"message has {counts} as headings; one of each is needed")
    one, two = headings[1][0], headings[2][0]
    if two.start() < one.end():
        raise RecordError("message shows Response 2 before Response 1; expected the other order")
    output = list(_OUTPUT_HEADING.finditer(prompt, two.end()))
    end = output[-1].start() if output else len(prompt)
    first, second = prompt[one.end() : two.start()].strip(), prompt[two.end() : end].strip()
    return _text("[Response 1]", first), _text("[Response 2]", second)


def _label(answer: Any) -> Literal[1, 2]:
    values = answer if isinstance(answer, list | tuple) else [answer]
    match = _LABEL.fullmatch(values[0]) if len(values) == 1 and isinstance(values[0], str) else None
    if match is None:
        raise RecordError(f"answer={_show(answer)}; give ['<answer>1</answer>'] or the same with 2")
    return 1 if match[1] == "1" else 2


def image_uri(image: object) -> str:
    """Return the path or data URI of an image given as path, data URI or plain base64.

    Raises:
        RecordError: when it is no text, or an empty one.
    """
    uri = _text("image", image)
    if _BASE64_IMAGE.fullmatch(uri):
        return "data:image;base64," + "".join(uri.split())
    return uri


def _text(field: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise RecordError(f"{field}={_show(value)}; give a text that is not empty")
    if half := _SURROGATE.search(value):  # JSON can hold one, tokenizers refuse it
        raise RecordError(f"{field} holds {half[0]!a}, half a surrogate pair; remove it")
    return value


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
