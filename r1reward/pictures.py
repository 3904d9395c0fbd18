"""Small pictures that a page carries within itself."""

import base64
import hashlib
import io
from pathlib import Path

from PIL import Image

from r1reward.media import ImageError, frames, open_image
from r1reward.record import Media

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
        return [self._add(uri) for uri in self._uris(media)]

    def _uris(self, media: Media) -> list[str]:
        if media.kind == "image":
            return [media.uri]
        try:
            found = frames(media.uri, self._root)
        except ImageError:
            return [media.uri]  # which says what is wrong
        step = max(1, len(found) // _FRAMES)
        return [str(path) for path in found[::step][:_FRAMES]]

    def _add(self, uri: str) -> str:
        name = hashlib.sha256(uri.encode()).hexdigest()[:16]
        if name not in self.found:
            self.found[name] = self._drawn(uri)
        return name

    def _drawn(self, uri: str) -> dict[str, str]:
        try:
            image = open_image(uri, self._root)
        except ImageError as error:
            return {"src": "", "error": str(error)}
        image.thumbnail((self._pixels, self._pixels), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=75)
        content = base64.b64encode(buffer.getvalue()).decode()
        return {"src": f"data:image/jpeg;base64,{content}", "error": ""}
