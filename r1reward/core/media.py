"""Images and videos of a pair: location, checks, pixels."""

import base64
import binascii
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from r1reward.core.errors import UserError
from r1reward.core.pair import Media

# Frames of a video that a judge is shown (the benchmarks' protocol), spaced evenly.
MAX_FRAMES = 32
# Pillow's own limit against decompression bombs is a warning; here it is an error.
MAX_PIXELS = 100_000_000
# Qwen2.5-VL's processor refuses longer shapes (qwen_vl_utils, MAX_RATIO).
MAX_RATIO = 200
_FRAME_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


class ImageError(UserError):
    """An image or video that cannot be used; the message says which and why."""


def locate(uri: str, root: Path | str | None) -> str:
    """Return what a processor opens: the absolute path below ``root``, or the data URI itself.

    Args:
        uri: path, absolute or relative to ``root``, or ``data:`` URI with base64 content.
        root: folder that paths start from and must not leave; None is the working directory.

    Raises:
        ImageError: for a path outside ``root`` and for remote addresses, which are never fetched.
    """
    if uri.startswith("data:image"):
        return uri
    if uri.startswith("data:"):  # qwen_vl_utils would take it for a path
        raise ImageError(f"{_short(uri)}: a data URI of something else; begin it with data:image")
    if re.match(r"[a-z][a-z0-9+.-]*://", uri, re.IGNORECASE):
        raise ImageError(f"{_short(uri)}: a remote address; download it and give its path")
    base = os.path.abspath(root or ".")
    path = os.path.abspath(os.path.join(base, uri))
    if os.path.commonpath([base, path]) != base:
        raise ImageError(
            f"{_short(uri)}: outside the media folder {base}; make it relative to that folder, "
            "or set data.media_root"
        )
    return path


def open_image(uri: str, root: Path | str | None) -> Image.Image:
    """Return the image in RGB, decoded to the last byte.

    Raises:
        ImageError: when it is missing, truncated, not an image, or too large or too long.
    """
    located = locate(uri, root)
    try:
        file = io.BytesIO(decode_uri(located)) if located.startswith("data:") else located
        with Image.open(file) as image:
            _check_shape(uri, image.size)
            return image.convert("RGB")
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{_short(located)}: no such image") from None
    except (UnidentifiedImageError, IsADirectoryError):
        raise ImageError(f"{_short(located)}: not an image") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{_short(located)}: more than {MAX_PIXELS:,} pixels") from None
    except (OSError, SyntaxError, EOFError, ValueError) as error:  # Pillow's, for damaged files
        raise ImageError(f"{_short(located)}: damaged ({_short(str(error))})") from None


def decode_uri(uri: str) -> bytes:
    """Return the file that a data URI carries; white space within it does not count.

    Raises:
        ImageError: when its content is not base64.
    """
    _, separator, content = uri.partition("base64,")
    if not separator:
        raise ImageError(f"{_short(uri)}: a data URI without base64 content")
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"{_short(uri)}: not base64 ({error})") from None


def frames(uri: str, root: Path | str | None) -> list[Path]:
    """Return at most ``MAX_FRAMES`` evenly spaced frames of a video stored as a folder of images.

    Frames are ordered by the numbers in their names, then by name: ``frame_2`` before ``frame_10``.

    Raises:
        ImageError: when there is no such folder or no image in it.
    """
    folder = Path(locate(uri, root))
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        raise ImageError(f"{_short(str(folder))}: no such folder of video frames")
    found = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in _FRAME_SUFFIXES),
        key=lambda path: ([int(number) for number in re.findall(r"\d+", path.stem)], path.name),
    )
    if not found:
        raise ImageError(f"{folder}: no frames in it ({', '.join(sorted(_FRAME_SUFFIXES))})")
    if len(found) <= MAX_FRAMES:
        return found
    last = len(found) - 1
    return [found[index * last // (MAX_FRAMES - 1)] for index in range(MAX_FRAMES)]


def check_media(media: Iterable[Media], root: Path | str | None) -> None:
    """Decode every image, and the frames of every video.

    Raises:
        ImageError: for the first one that cannot be used.
    """
    for item in media:
        if item.kind == "image":
            open_image(item.uri, root)
        else:
            for frame in frames(item.uri, root):
                open_image(str(frame), root)


def _check_shape(uri: str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{_short(uri)}: {width} x {height} is more than {MAX_PIXELS:,} pixels")
    if max(size) > MAX_RATIO * min(size):
        raise ImageError(
            f"{_short(uri)}: {width} x {height}; one side is over {MAX_RATIO} times the other"
        )


def _short(uri: str) -> str:
    return uri if len(uri) <= 200 else f"{uri[:60]}... ({len(uri)} characters)"
