"""Facts about images and videos: size, content hash, and size after the processor."""

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from r1reward.core.media import ImageError, decode_uri, frames, locate, open_image
from r1reward.core.pair import Media

# Qwen2.5-VL's processor works on multiples of this: two patches of 14 pixels, merged.
PATCH = 28
_KNOWN = 1 << 15  # files that a process remembers, some hundred bytes each
_RGB = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "La", "RGBa"}  # nothing is lost
_SAME = {"MPO": "JPEG", "DIB": "BMP"}  # a phone's JPEG with a depth map behind it; a headless BMP

Note = tuple[str, str]  # kind of a warning, detail


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image, or a video: its frames are of one size.

    Attributes:
        width: pixels.
        height: pixels.
        frames: shown frames of a video; None for an image.
        digest: of the file, or of the shown frames' files.
        notes: what to warn of.
    """

    width: int
    height: int
    frames: int | None
    digest: bytes
    notes: tuple[Note, ...]


def examine(item: Media, root: Path | str | None) -> Picture:
    """Decode an image, or the shown frames of a video, to the last byte.

    Files are remembered, so that one which many records show is decoded once in a process.

    Raises:
        ImageError: when it cannot be used.
    """
    located = locate(item.uri, root)
    if item.kind == "video":
        return _video(located)
    return _image(located) if located.startswith("data:") else _file(located)


@lru_cache(_KNOWN)
def _file(path: str) -> Picture:
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ImageError(f"{path}: a pipe or device; give a file")  # opening one may never end
    return _image(path)


def _image(located: str) -> Picture:
    size = open_image(located, os.sep).size
    if min(size) < 2:
        raise ImageError(
            f"{_name(located)}: {size[0]} x {size[1]} shows nothing; give the picture itself"
        )
    inline = located.startswith("data:")
    content = decode_uri(located) if inline else Path(located).read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as image:
            notes = tuple(_notes(image, located))
    except (OSError, SyntaxError, EOFError, ValueError) as error:  # Pillow's, for later frames
        raise ImageError(f"{_name(located)}: damaged behind the first frame ({error})") from None
    return Picture(*size, None, hashlib.blake2b(content, digest_size=16).digest(), notes)


@lru_cache(_KNOWN)
def _video(folder: str) -> Picture:
    pictures = [_file(str(path)) for path in frames(folder, os.sep)]
    sizes = {(picture.width, picture.height): None for picture in pictures}
    if len(sizes) > 1:
        shown = ", ".join(f"{width} x {height}" for width, height in list(sizes)[:3])
        raise ImageError(f"{folder}: frames of different sizes ({shown}); make them one size")
    first = pictures[0]
    digest = hashlib.blake2b(b"".join(picture.digest for picture in pictures), digest_size=16)
    notes = {note[0]: note for picture in pictures for note in picture.notes}  # one of a kind
    return Picture(first.width, first.height, len(pictures), digest.digest(), tuple(notes.values()))


def _notes(image: Image.Image, located: str) -> Iterator[Note]:
    name, format_ = _name(located), image.format or ""
    expected = "" if located.startswith("data:") else _format_of(located)
    if expected and expected != _SAME.get(format_, format_):
        yield "extension", f"{name}: {format_} content; it is read all the same, but rename it"
    if image.mode not in _RGB:
        yield "converted", f"{name}: {image.mode}, converted to RGB: colours change; save it as RGB"
    elif format_ == "GIF":
        yield "converted", f"{name}: GIF, its palette converted to RGB; nothing to do"
    if format_ != "MPO" and getattr(image, "is_animated", False):
        yield "animated", f"{name}: several frames; the first is shown, make a video of the others"
    if min(image.size) < PATCH:
        size = f"{image.width} x {image.height}"
        yield "small", f"{name}: {size} is enlarged to patches of {PATCH}; give a larger picture"


def _format_of(path: str) -> str:
    """Return the format that a file name promises, or ""."""
    promised = Image.registered_extensions().get(Path(path).suffix.lower(), "")
    return _SAME.get(promised, promised)


def _name(located: str) -> str:
    return "the data URI" if located.startswith("data:") else located
