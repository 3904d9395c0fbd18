"""The length of a prompt, against the processor of the model."""

import random

import pytest
from PIL import Image
from qwen_vl_utils import process_vision_info
from transformers import AutoProcessor

from r1reward.config.compose import REPO
from r1reward.core.pair import Media, Pair
from r1reward.core.preferences import read_preferences
from r1reward.core.prompt import build_messages
from r1reward.data.media_facts import examine
from r1reward.data.prompt_length import LengthError, PromptLength

MODEL = REPO / "recipes" / "tiny" / "checkpoint"
PHOTOS = REPO / "recipes" / "photos"


def counted(processor, item, root, **limits):
    """Return how many tokens the processor makes, pixels and all."""
    messages = build_messages(item, media_root=root, **limits)
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    images, _ = process_vision_info(messages, image_patch_size=14)
    return processor(text=[text], images=images, return_tensors="pt")["input_ids"].shape[1]


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(MODEL)


def test_the_tokens_of_photos_are_those_of_the_processor(processor):
    records = list(read_preferences(PHOTOS / "validation.jsonl"))[::9]
    for limits in ({}, {"min_pixels": 3136, "max_pixels": 12544}):
        length = PromptLength(str(MODEL), limits.get("min_pixels"), limits.get("max_pixels"))
        for item in records:
            seen = [examine(media, PHOTOS) for media in item.media]
            assert length.count(item, seen) == counted(processor, item, PHOTOS, **limits)


@pytest.mark.parametrize("limits", [(None, None), (3136, 12544), (3136, 501760), (50176, None)])
def test_the_tokens_of_any_images_and_texts_are_those_of_the_processor(processor, tmp_path, limits):
    rng, length = random.Random(0), PromptLength(str(MODEL), *limits)
    given = {name: n for name, n in zip(("min_pixels", "max_pixels"), limits, strict=True) if n}
    texts = ["Wie viele?", "图中有几只猫？", "a" * 500, " \n\t x", "{answer1}", "🙂 <b>", "\u200b?"]
    refused = 0
    for number in range(40):
        media = []
        for place in range(number % 4):
            size = [int(10 ** rng.uniform(0.4, 2.8)) for _ in range(2)]
            if max(size) <= 200 * min(size):
                Image.new("RGB", size).save(tmp_path / f"{number}-{place}.png")
                media.append(Media("image", f"{number}-{place}.png"))
        within = number % 2 and media  # the images stand in the second response
        responses = (rng.choice(texts), (*media, "B") if within else "B")
        item = Pair(rng.choice(texts), responses, () if within else tuple(media))
        seen = [examine(medium, tmp_path) for medium in media]
        try:
            mine = length.count(item, seen)
        except LengthError:
            refused += 1
            with pytest.raises(ValueError, match=r"must be > 0|aspect ratio"):
                counted(processor, item, tmp_path, **given)
        else:
            assert mine == counted(processor, item, tmp_path, **given)
    assert (refused > 0) == (limits == (3136, 12544))
