"""Rows on their way through a tool: a row of any schema becomes a row of a shard."""

from collections.abc import Mapping
from typing import Any

from r1reward.core.fields import PreferenceError, whole_text
from r1reward.core.media import ImageError, decode_uri
from r1reward.core.pair import Media, Preference
from r1reward.core.preferences import parse_preference
from r1reward.core.rows import Row, RowError
from r1reward.store.shards import columns_of

_UNNAMED = "embedded"  # stands for the uri of an embedded file


def read_row(where: str, raw: Row | RowError) -> tuple[Preference, dict[str, Any]]:
    """Return the preference of a row and its row of a shard, with the columns of an annotation.

    Raises:
        PreferenceError: when the row is no preference, or its annotation cannot be read.
    """
    preference, row = shard_row(where, raw)
    return preference, row | _annotation(raw)


def shard_row(where: str, raw: Row | RowError) -> tuple[Preference, dict[str, Any]]:
    """Return the preference of a row, and the columns that it fills in a shard.

    Images that the row carries are in the columns, as ``bytes``. In the preference, the ``uri`` of
    an image that the row holds as bytes is only a name: base64 of every file would be slow.

    Raises:
        PreferenceError: when the row is no preference, or an image in it is not base64.
    """
    if isinstance(raw, RowError):
        raise PreferenceError(str(raw))
    given: list[Mapping[str, Any]] = []
    preference = parse_preference(_without_files(raw, given), where=where)
    media = preference.all_media()
    items = given or [{}] * len(media)  # the released schema has no such objects
    files = [_file(one, item) for one, item in zip(media, items, strict=True)]
    return preference, columns_of(preference, files)


def _without_files(raw: Row, given: list[Mapping[str, Any]]) -> Row:
    """Return the row without bytes; its images and videos as they were are added to ``given``."""
    if not isinstance(raw, Mapping) or "message" in raw:
        return raw
    contents = ("parts",) if raw.get("parts") is not None else ("question", "responses")
    names = [name for name in ("media", *contents) if name in raw]
    return {**raw, **{name: _emptied(raw[name], given) for name in names}}


def _emptied(value: Any, given: list[Mapping[str, Any]]) -> Any:
    if isinstance(value, list | tuple):
        return [_emptied(one, given) for one in value]
    if not isinstance(value, Mapping) or value.get("kind") == "text":
        return value
    given.append(value)
    if not _content(value):
        return value
    return {**value, "uri": value.get("uri") or _UNNAMED, "bytes": None}


def _content(item: Mapping[str, Any]) -> bytes | None:
    content = item.get("bytes")
    return content if isinstance(content, bytes) and content else None


def _file(media: Media, given: Mapping[str, Any]) -> dict[str, Any]:
    if content := _content(given):
        return {"kind": media.kind, "uri": given.get("uri"), "bytes": content}
    if not media.uri.startswith("data:"):
        return {"kind": media.kind, "uri": media.uri, "bytes": None}
    try:
        content = decode_uri(media.uri)
    except ImageError as error:
        raise PreferenceError(str(error)) from None
    if not content:
        raise PreferenceError(f"{media.uri[:40]}: a data URI without base64 content")
    return {"kind": media.kind, "uri": None, "bytes": content}


def _annotation(raw: Any) -> dict[str, Any]:
    attempts, solved = raw.get("attempts"), raw.get("solved")
    known = isinstance(attempts, int) and 1 <= attempts <= 127 and isinstance(solved, bool)
    if not known and not attempts is solved is None:
        raise PreferenceError(
            f"attempts={attempts!r:.40}, solved={solved!r:.40}; give 1 to 127 and true or false, "
            "or neither"
        )
    texts = {name: raw.get(name) for name in ("origin", "reasoning")}
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise PreferenceError(f"{name}={text!r:.40}; give a text, or leave it out")
        whole_text(name, text or "")
    return {"attempts": attempts, "solved": solved, **texts}
