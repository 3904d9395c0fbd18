"""Preferences from the rows of files, in our schema or the released one."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from r1reward.core.fields import PreferenceError, shown, text_field, whole_text
from r1reward.core.pair import Content, Media, Part, Preference, joined
from r1reward.core.released import parse_released
from r1reward.core.rows import Row, RowError, files_of, scan_rows

_REQUIRED = ("question", "responses", "label", "source")


def read_preferences(path: Path | str) -> Iterator[Preference]:
    """Yield the preferences of a ``.jsonl`` or ``.parquet`` file, or a folder, in constant memory.

    Raises:
        PreferenceError: for the first row that is not a preference.
    """
    for _, item in scan_preferences(path):
        if isinstance(item, PreferenceError):
            raise item
        yield item


def scan_preferences(path: Path | str) -> Iterator[tuple[str, Preference | PreferenceError]]:
    """Yield, for each row of a file or folder, ``<file>:<row>`` and its preference or its error.

    Raises:
        PreferenceError: when it is neither JSONL nor parquet, or cannot be read at all.
    """
    try:
        for where, row in scan_rows(path):
            yield where, preference_or_error(where, row)
    except RowError as error:
        raise PreferenceError(str(error)) from None


def preference_or_error(where: str, row: Row | RowError) -> Preference | PreferenceError:
    """Return the preference of one row of :func:`.rows.scan_rows`, or what is wrong with it."""
    if isinstance(row, RowError):
        return PreferenceError(str(row))
    try:
        return parse_preference(row, where=where)
    except PreferenceError as error:
        return error


def parse_preference(row: Mapping[str, Any], *, where: str) -> Preference:
    """Return the preference of one row, in our schema or the released one.

    Ours: ``question``, ``responses`` (two), ``label`` (1 or 2), ``media`` (list of ``kind`` and
    ``uri``) and ``source``. A question or a response is a text; where images or videos stand
    within it, it is a list of parts in order: ``{"kind": "text", "text": ...}``, ``{"kind":
    "image", "uri": ...}``, ``{"kind": "video", "uri": ...}``. Shards keep such lists in a column
    of their own, ``parts`` (:mod:`r1reward.store.shards`). Released: :mod:`.released`; rows with
    ``message`` are of this schema.

    Args:
        row: the columns.
        where: file and row, for messages.

    Raises:
        PreferenceError: naming ``where``, the field, and what to do.
    """
    if not isinstance(row, Mapping):
        raise PreferenceError(f"{where}: expected an object of fields, found {shown(row)}")
    try:
        return parse_released(row) if "message" in row else _ours(row)
    except PreferenceError as error:
        raise PreferenceError(f"{where}: {error}") from None


def refuse_parts_in_jsonl(path: Path) -> None:
    """Refuse JSONL that Hugging Face ``datasets`` would not read as it is written.

    ``datasets`` infers the type of a column from the first rows of a file. Where a later row has a
    list of parts in place of a text, it turns every text around that row into JSON.

    Args:
        path: a file or a folder; what is not JSONL is not looked at.

    Raises:
        PreferenceError: naming the first row with parts.
        RowError: when a file cannot be read at all.
    """
    for file in files_of(path):
        for where, row in scan_rows(file) if file.suffix == ".jsonl" else ():
            pair = preference_or_error(where, row)
            if isinstance(pair, Preference) and not pair.is_plain:
                raise PreferenceError(
                    f"{where}: images within a text; training reads such rows from shards: "
                    f"`r1reward validate files=[{path}] fix=true out=FOLDER` writes them"
                )


def _ours(row: Mapping[str, Any]) -> Preference:
    if missing := [name for name in _REQUIRED if row.get(name) is None]:
        raise PreferenceError(
            f"no {', '.join(missing)}; a preference has question, responses, label, media and "
            f"source (found: {', '.join(map(str, row)) or 'nothing'})"
        )
    label = row["label"]
    question, first, second = _contents(row)
    if label not in (1, 2) or isinstance(label, bool):
        raise PreferenceError(f"label={shown(label)}; give 1 or 2, the better response")
    return Preference(
        question=question,
        responses=(first, second),
        media=() if row.get("media") is None else _media(row["media"]),
        label=1 if label == 1 else 2,
        source=text_field("source", row["source"]),
    )


def _contents(row: Mapping[str, Any]) -> tuple[Content, Content, Content]:
    """Return the question and the two responses."""
    question, responses, parts = row["question"], row["responses"], row.get("parts")
    if parts is not None:
        if not isinstance(parts, list | tuple) or len(parts) != 3:
            raise PreferenceError(
                f"parts={shown(parts)}; give null, or the parts of the question and both responses"
            )
        question, *responses = parts
    if not isinstance(responses, list | tuple) or len(responses) != 2:
        raise PreferenceError(f"responses={shown(responses)}; give a list of exactly two texts")
    first, second = responses
    return (
        _content("question", question),
        _content("responses[0]", first),
        _content("responses[1]", second),
    )


def _content(name: str, value: object) -> Content:
    if not isinstance(value, list | tuple):
        return text_field(name, value)
    content = joined(_part(f"{name}[{number}]", part) for number, part in enumerate(value))
    return text_field(name, content) if isinstance(content, str) else content


def _part(name: str, part: Any) -> Part:
    kind = part.get("kind") if isinstance(part, Mapping) else None
    if kind in ("image", "video"):
        return _medium(name, part)
    if kind != "text" or not isinstance(part.get("text"), str):
        raise PreferenceError(
            f"{name} is {shown(part)}; give kind 'text' and a text, or 'image' or 'video' and a uri"
        )
    return whole_text(name, part["text"])


def _media(items: object) -> tuple[Media, ...]:
    if not isinstance(items, list | tuple):
        raise PreferenceError(f"media={shown(items)}; give a list of objects with kind and uri")
    for item in items:
        if not isinstance(item, Mapping) or item.get("kind") not in ("image", "video"):
            raise PreferenceError(
                f"media holds {shown(item)}; give kind 'image' or 'video', and a uri"
            )
    return tuple(_medium("media", item) for item in items)


def _medium(name: str, item: Mapping[str, Any]) -> Media:
    content = item.get("bytes")
    if isinstance(content, bytes) and content:  # the file itself, in shards that embed media
        return Media(item["kind"], Media.embedded(content).uri)
    return Media(item["kind"], text_field(f"{name} uri", item.get("uri")))
