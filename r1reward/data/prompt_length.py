"""Tokens of a judging prompt after the processor, from its text and the sizes of its pictures.

No pixels are needed: qwen_vl_utils scales an image to multiples of a patch within limits, then the
processor does the same with its own limits, and every 28 x 28 pixels (of two frames of a video) are
one token. Their rules are called, not copied, but for the steps of ``fetch_video`` (0.0.14).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from r1reward.core.errors import UserError
from r1reward.core.pair import Pair
from r1reward.core.prompt import prompt_parts
from r1reward.data.media_facts import Picture

_SLOT = "<<a text of the prompt>>"


class LengthError(UserError):
    """A prompt that the processor cannot make, or a model without a processor of this kind."""


class PromptLength:
    """Counts as the processor of one model does; loading it takes some seconds."""

    def __init__(self, model: str, min_pixels: int | None, max_pixels: int | None) -> None:
        """Load the processor of a Hugging Face folder or hub name.

        Args:
            model: whose tokenizer and processor.
            min_pixels: as in :func:`r1reward.core.prompt.build_messages`.
            max_pixels: likewise.

        Raises:
            LengthError: when there is none.
        """
        from qwen_vl_utils import vision_process
        from transformers import AutoProcessor

        try:
            self._processor: Any = AutoProcessor.from_pretrained(model)
            self._images: Any = self._processor.image_processor
            self._videos: Any = self._processor.video_processor
            patch = self._images.patch_size
        except (OSError, ValueError, AttributeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise LengthError(
                f"model {model}: no Qwen2.5-VL processor ({reason}); give a Hugging Face folder"
            ) from None
        self._qwen: Any = vision_process
        self._factor = int(patch * vision_process.SPATIAL_MERGE_SIZE)
        given = {"min_pixels": min_pixels, "max_pixels": max_pixels}
        self._limits = {name: value for name, value in given.items() if value is not None}
        self._chats: dict[tuple[str, ...], list[str]] = {}

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self._processor.tokenizer

    def count(self, pair: Pair, pictures: Sequence[Picture]) -> int:
        """Return the tokens of a pair's prompt; ``pictures`` are those of ``pair.all_media()``.

        Raises:
            LengthError: when the processor would fail on a picture.
        """
        parts = prompt_parts(pair)
        around = self._around(tuple("text" if isinstance(p, str) else p.kind for p in parts))
        texts = [*(part for part in parts if isinstance(part, str)), ""]
        text = "".join(map("".join, zip(around, texts, strict=True)))
        ids = self._processor.tokenizer(text, return_attention_mask=False, verbose=False)
        # The text has one placeholder for each; the processor repeats it.
        return len(ids["input_ids"]) + sum(self._picture(picture) - 1 for picture in pictures)

    def _around(self, kinds: tuple[str, ...]) -> list[str]:
        """Return what the chat template puts before, between and after the texts of a prompt.

        Args:
            kinds: of the prompt's parts: ``text``, ``image`` or ``video``.
        """
        if kinds not in self._chats:
            content = [{"type": k, "text": _SLOT} if k == "text" else {"type": k} for k in kinds]
            chat = [{"role": "user", "content": content}]
            made = self._processor.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True
            )
            self._chats[kinds] = made.split(_SLOT)
        return self._chats[kinds]

    def _picture(self, picture: Picture) -> int:
        try:
            return self._image(picture) if picture.frames is None else self._video(picture)
        except (ValueError, AssertionError) as error:  # what the processor would say
            raise LengthError(
                f"{picture.width} x {picture.height}: the processor refuses it ({error}); crop it, "
                "or change the limits on pixels"
            ) from None

    def _image(self, picture: Picture) -> int:
        size = self._fit((picture.height, picture.width), self._factor, self._limits)
        patches = self._images.get_number_of_image_patches(*size, {})
        return int(patches) // int(self._images.merge_size) ** 2

    def _video(self, picture: Picture) -> int:
        # fetch_video gives fetch_image the factor as the patch: frames first fit twice the factor.
        size = self._fit((picture.height, picture.width), 2 * self._factor, self._limits)
        frames = self._qwen.ceil_by_factor(picture.frames, self._qwen.FRAME_FACTOR)
        size = self._fit(size, self._factor, self._video_limits(frames))
        patches = self._videos.get_num_of_video_patches(frames, *size, {})
        return int(patches) // int(self._videos.merge_size) ** 2

    def _video_limits(self, frames: int) -> dict[str, float]:
        qwen, area = self._qwen, self._factor**2
        fewest = self._limits.get("min_pixels", qwen.VIDEO_MIN_TOKEN_NUM * area)
        total = qwen.MODEL_SEQ_LEN * area * 0.9 / frames * qwen.FRAME_FACTOR
        most = max(min(qwen.VIDEO_MAX_TOKEN_NUM * area, total), int(fewest * 1.05))
        return {"min_pixels": fewest, "max_pixels": min(self._limits.get("max_pixels", most), most)}

    def _fit(
        self, size: tuple[int, int], factor: int, limits: Mapping[str, float]
    ) -> tuple[int, int]:
        height, width = self._qwen.smart_resize(*size, factor, **limits)
        if min(height, width) < 1:  # it rounds down, and Pillow scales nothing to nothing
            raise ValueError(f"a side is scaled to nothing by max_pixels={limits['max_pixels']}")
        return height, width
