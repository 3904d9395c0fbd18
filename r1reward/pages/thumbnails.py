"""Thumbnails for pages and trackers."""

import base64
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from r1reward.core.media import ImageError, frames, open_image
from r1reward.core.pair import Media

_FRAMES = 4  # of a video


class Pictures:
    """The pictures of a page, each once.

    Attributes:
        found: name -> ``{"src": data URI, "error": ""}``, or why there is none, for the browser.
    """

    def __init__(self, root: Path, pixels: int) -> None:
        """Begin without a picture.

        Args:
            root: folder of relative media paths.
            pixels: longest side of a picture.
        """
        self._root, self._pixels = root, pixels
        self.found: dict[str, dict[str, str]] = {}

    def names(self, media: Media) -> list[str]:
        """Add the image, or a few frames of the video; return their names."""
        return [self._add(uri) for uri in _uris(media, self._root)]

    def _add(self, uri: str) -> str:
        name = hashlib.sha256(uri.encode()).hexdigest()[:16]
        if name not in self.found:
            self.found[name] = self._drawn(uri)
        return name

    def _drawn(self, uri: str) -> dict[str, str]:
        try:
            image = _thumbnail(uri, self._root, self._pixels)
        except ImageError as error:
            return {"src": "", "error": str(error)}
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=75)
        content = base64.b64encode(buffer.getvalue()).decode()
        return {"src": f"data:image/jpeg;base64,{content}", "error": ""}


def strip(media: Iterable[Media], root: Path | None, pixels: int) -> Image.Image | None:
    """Return small pictures of ``media`` side by side, or None where none can be shown.

    Args:
        media: images, and videos of which a few frames are taken.
        root: folder of relative media paths.
        pixels: longest side of each picture.
    """
    shown = []
    for uri in (uri for item in media for uri in _uris(item, root)):
        try:
            shown.append(_thumbnail(uri, root, pixels))
        except ImageError:  # what cannot be read is left out
            continue
    if not shown:
        return None
    size = sum(image.width for image in shown), max(image.height for image in shown)
    whole, place = Image.new("RGB", size, "white"), 0
    for image in shown:
        whole.paste(image, (place, 0))
        place += image.width
    return whole


def _uris(media: Media, root: Path | None) -> list[str]:
    if media.kind == "image":
        return [media.uri]
    try:
        found = frames(media.uri, root)
    except ImageError:
        return [media.uri]  # which says what is wrong
    step = max(1, len(found) // _FRAMES)
    return [str(path) for path in found[::step][:_FRAMES]]


def _thumbnail(uri: str, root: Path | None, pixels: int) -> Image.Image:
    image = open_image(uri, root)
    image.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    return image
