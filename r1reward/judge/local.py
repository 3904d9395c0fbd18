"""Base of judges with local weights: files, identity, chat."""

import hashlib
import json
from pathlib import Path
from typing import Any

from r1reward.core.media import ImageError
from r1reward.core.pair import Pair
from r1reward.core.prompt import build_messages
from r1reward.judge.base import Judge, JudgeError
from r1reward.judge.protocol import Protocol

_SAMPLES, _BLOCK = 64, 1 << 16
_IGNORED = {".md", ".gitattributes", ".png", ".jpg"}


class LocalJudge(Judge):
    """A model directory, or a hub model at a revision.

    ``min_pixels`` and ``max_pixels`` limit an image, or a frame of a video; with None those of
    qwen_vl_utils and the processor hold, as in training.
    """

    def __init__(
        self,
        protocol: Protocol,
        media_root: Path | str,
        model: str,
        revision: str | None,
        min_pixels: int | None,
        max_pixels: int | None,
    ) -> None:
        super().__init__(protocol, media_root)
        self.folder = locate(model, revision)
        self.identity = f"{Path(model).name}@{fingerprint(self.folder)}"
        self._limits = {"min_pixels": min_pixels, "max_pixels": max_pixels}

    def messages(self, pair: Pair) -> list[dict[str, object]]:
        """Return the chat that shows ``pair``, with the limits on its pixels."""
        return build_messages(pair, media_root=self.media_root, **self._limits)

    def prepare(self, processor: Any, pair: Pair) -> tuple[str, Any, Any]:
        """Return the prompt's text, its images and its videos, made exactly as in training.

        Raises:
            ImageError: for media that cannot be used.
        """
        from qwen_vl_utils import process_vision_info

        messages = self.messages(pair)
        text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        patch = getattr(getattr(processor, "image_processor", None), "patch_size", 14)
        try:
            images, videos = process_vision_info(
                messages, image_patch_size=patch, return_video_metadata=True
            )
        except (OSError, SyntaxError, ValueError) as error:  # Pillow's and qwen_vl_utils'
            raise ImageError(str(error)) from None
        return str(text), images, videos


def locate(model: str, revision: str | None) -> Path:
    """Return the folder of a model: itself, or the hub's snapshot, downloaded where need be.

    Raises:
        JudgeError: when there is no such model.
    """
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise JudgeError(f"judge.model={model}: no config.json there; give a Hugging Face one")
        return folder.resolve()
    if folder.is_absolute() or model.count("/") != 1 or model.startswith((".", "~")):
        raise JudgeError(f"judge.model={model}: no such folder, and not a hub name (owner/name)")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision))
    except Exception as error:  # the hub client's own, and those of its HTTP library
        raise JudgeError(
            f"judge.model={model}: no such folder, and the hub does not give it "
            f"({type(error).__name__}); download it and give its folder"
        ) from None


def checkpoint_dtype(folder: Path) -> str:
    """Return the type of a model's weights, such as ``bfloat16``; ``auto`` if it does not say."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return str(config.get("dtype") or config.get("torch_dtype") or "auto")


def fingerprint(folder: Path) -> str:
    """Return a hash of the model's files: of small ones all, of large ones spread samples.

    Training moves every weight, so that samples tell two checkpoints apart without reading all.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.suffix in _IGNORED:
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}:".encode())
        with open(path, "rb") as file:
            if size <= _SAMPLES * _BLOCK:
                digest.update(file.read())
                continue
            for sample in range(_SAMPLES):
                file.seek((size - _BLOCK) * sample // (_SAMPLES - 1))
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:16]
