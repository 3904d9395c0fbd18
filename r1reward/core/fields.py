"""Fields of a row, and what to say about those that are not as they should be."""

import re

from r1reward.core.errors import UserError

# How base64 of JPEG, PNG, GIF, WebP and BMP begins.
_BASE64_IMAGE = re.compile(r"(/9j/|iVBOR|R0lG|UklG|Qk)[A-Za-z0-9+/=\s]{60,}")
_SURROGATE = re.compile("[\ud800-\udfff]")


class PreferenceError(UserError):
    """A row that is not a preference: ``<file>:<row>: what is wrong; what to do``."""


def text_field(name: str, value: object) -> str:
    """Return a text that is not empty and that UTF-8 can hold.

    Raises:
        PreferenceError: naming the field.
    """
    if not isinstance(value, str) or not value.strip():
        raise PreferenceError(f"{name}={shown(value)}; give a text that is not empty")
    return whole_text(name, value)


def whole_text(name: str, value: str) -> str:
    """Return a text that UTF-8 can hold; it may be empty.

    Raises:
        PreferenceError: naming the field.
    """
    if half := _SURROGATE.search(value):  # JSON can hold one, tokenizers refuse it
        raise PreferenceError(f"{name} holds {half[0]!a}, half a surrogate pair; remove it")
    return value


def image_field(name: str, value: object) -> str:
    """Return the path or data URI of an image that is a path, a data URI or plain base64.

    Raises:
        PreferenceError: naming the field.
    """
    uri = text_field(name, value)
    if _BASE64_IMAGE.fullmatch(uri):
        return "data:image;base64," + "".join(uri.split())
    return uri


def shown(value: object) -> str:
    """Return a value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
