"""Questions, responses and images as a program gives them -> the types of a pair."""

import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from r1reward.core.errors import UserError
from r1reward.core.fields import text_field
from r1reward.core.media import ImageError, check_media
from r1reward.core.pair import Content, Media, joined

# An image: a path, a data URI, the bytes of a file, or pixels.
GivenImage = str | Path | bytes | Image.Image | Media
# A question or a response: a text, or texts and images in order. In a list every ``str`` is text.
GivenContent = str | Sequence[GivenImage]

_MODES = {"1", "L", "P", "RGB", "RGBA"}  # of pixels that PNG holds without loss


class ArgumentError(UserError):
    """An argument that cannot be used: ``<name>: what is wrong; what to give``."""


def content_given(name: str, value: GivenContent) -> Content:
    """Return the content of the argument ``name``.

    Raises:
        ArgumentError: for an empty text, and for anything that is neither text nor image.
        ImageError: for an image that cannot be opened.
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        content = joined(
            part if isinstance(part, str) else image_given(f"{name}[{number}]", part)
            for number, part in enumerate(value)
        )
        if not isinstance(content, str):
            return content
        value = content
    try:
        return text_field(name, value)
    except UserError as error:
        raise ArgumentError(str(error)) from None


def images_given(images: GivenImage | Iterable[GivenImage]) -> tuple[Media, ...]:
    """Return the images of the argument ``images``: one, or any number of them.

    Raises:
        ArgumentError: for what is no image.
        ImageError: for an image that cannot be opened.
    """
    if isinstance(images, str | Path | bytes | Image.Image | Media):
        return (image_given("images", images),)
    return tuple(image_given(f"images[{number}]", one) for number, one in enumerate(images))


def image_given(name: str, value: object) -> Media:
    """Return one image, which can be opened; paths start from the working directory.

    Raises:
        ArgumentError: for what is no image.
        ImageError: for an image that cannot be opened.
    """
    if isinstance(value, Media):
        return _checked(name, value)
    if isinstance(value, bytes):
        return _checked(name, Media.embedded(value))
    if isinstance(value, Image.Image):
        return _checked(name, Media.embedded(_png(value)))
    if isinstance(value, str | Path):
        uri = str(value)
        address = "://" in uri or uri.startswith("data:")  # the check refuses a remote one
        return _checked(name, Media("image", uri if address else os.path.abspath(uri)))
    raise ArgumentError(
        f"{name} is {type(value).__name__}; give a path, a data URI, bytes or a PIL image"
    )


def video_given(folder: str | Path) -> Media:
    """Return the video of the argument ``video``, a folder of its frames.

    Raises:
        ImageError: for a folder without frames, and for a frame that cannot be opened.
    """
    return _checked("video", Media("video", os.path.abspath(folder)))


def _checked(name: str, media: Media) -> Media:
    try:
        check_media([media], os.sep)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    return media


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    (image if image.mode in _MODES else image.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()
