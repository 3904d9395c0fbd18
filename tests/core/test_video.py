"""Videos, from a folder of frames to the tokens and pixels that the model is given."""

import json
import random

import numpy as np
import pytest
from PIL import Image
from qwen_vl_utils import process_vision_info
from transformers import AutoProcessor

from r1reward.config.compose import REPO
from r1reward.core.media import ImageError
from r1reward.core.pair import Media, Preference
from r1reward.core.preferences import read_preferences
from r1reward.core.prompt import build_messages
from r1reward.data.media_facts import examine
from r1reward.data.prompt_length import LengthError, PromptLength

MODEL = REPO / "recipes" / "tiny" / "checkpoint"
LIMITS = {"min_pixels": 3136, "max_pixels": 12544}  # conf/model/tiny.yaml


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(MODEL)


@pytest.fixture
def clip(tmp_path):
    """Paint a folder of frames, numbered from 1; frame n is grey of the level ``10 + 2 * n``."""

    def paint(count, size=(112, 56), name="clip"):
        folder = tmp_path / name
        folder.mkdir()
        numbers = list(range(1, count + 1))
        random.Random(0).shuffle(numbers)  # the order of making is none
        for number in numbers:
            Image.new("RGB", size, (10 + 2 * number,) * 3).save(folder / f"frame_{number}.png")
        return Media("video", name)

    return paint


def record(*media):
    return Preference(
        "What happens?", ("A man walks.", "A dog runs."), tuple(media), label=1, source="test"
    )


def processed(processor, record, root, **limits):
    """Return what the model is given, as verl and the judges make it."""
    messages = build_messages(record, media_root=root, **limits)
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    images, videos = process_vision_info(messages, image_patch_size=14, return_video_metadata=True)
    options = {}
    if videos:
        frames, metadata = zip(*videos, strict=True)
        options = {"videos": list(frames), "video_metadata": list(metadata)}
        options["do_sample_frames"] = False
    return processor(text=[text], images=images, return_tensors="pt", **options)


def video_tokens(processor, inputs):
    return int((inputs["input_ids"][0] == processor.video_token_id).sum())


def levels(processor, inputs):
    """Return the mean level of each frame that the model sees, 0 to 255."""
    [(time, height, width)] = inputs["video_grid_thw"].tolist()
    pixels = inputs["pixel_values_videos"].numpy().reshape(time, height * width, 3, 2, 14, 14)
    mean, std = (
        np.array(values)[:, None]
        for values in (processor.video_processor.image_mean, processor.video_processor.image_std)
    )
    by_frame = pixels.mean(axis=(1, 4, 5)) * std + mean  # [time, channel, frame of two]
    return 255 * by_frame.mean(axis=1).ravel()


@pytest.mark.parametrize(
    ("count", "pairs"), [(1, 1), (2, 1), (3, 2), (5, 3), (31, 16), (32, 16), (33, 16), (100, 16)]
)
def test_two_frames_are_eight_tokens_and_at_most_32_are_shown(
    processor, clip, tmp_path, count, pairs
):
    shown = record(clip(count))
    inputs = processed(processor, shown, tmp_path, **LIMITS)
    # 112 x 56 is 8 x 4 patches of 14 pixels, merged two by two.
    assert inputs["video_grid_thw"].tolist() == [[pairs, 4, 8]]
    assert video_tokens(processor, inputs) == pairs * (4 // 2) * (8 // 2)


@pytest.mark.parametrize("count", [4, 12, 32, 33, 100])
def test_the_frames_are_shown_in_their_order_evenly_spaced(processor, clip, tmp_path, count):
    seen = levels(processor, processed(processor, record(clip(count)), tmp_path, **LIMITS))
    places = range(count) if count <= 32 else np.linspace(0, count - 1, 32, dtype=int)
    assert np.allclose(seen, [10 + 2 * (place + 1) for place in places], atol=0.6)


@pytest.mark.parametrize("count", [1, 3])
def test_the_last_frame_of_a_short_clip_fills_its_pair(processor, clip, tmp_path, count):
    seen = levels(processor, processed(processor, record(clip(count)), tmp_path, **LIMITS))
    expected = [10 + 2 * (place + 1) for place in range(count)]
    assert np.allclose(seen, [*expected, expected[-1]], atol=0.6)


def test_images_and_videos_keep_their_places(processor, clip, tmp_path):
    Image.new("RGB", (56, 56), (255, 255, 255)).save(tmp_path / "photo.png")
    photo = Media("image", "photo.png")
    shown = record(clip(4, name="first"), photo, clip(8, size=(56, 56), name="second"))
    inputs = processed(processor, shown, tmp_path, **LIMITS)
    assert inputs["video_grid_thw"].tolist() == [[2, 4, 8], [4, 4, 4]]
    assert inputs["image_grid_thw"].tolist() == [[1, 4, 4]]
    ids = inputs["input_ids"][0].tolist()
    pads = [id for id in ids if id in (processor.video_token_id, processor.image_token_id)]
    runs = [2 * 8, 4, 4 * 4]
    video, image = processor.video_token_id, processor.image_token_id
    assert pads == [video] * runs[0] + [image] * runs[1] + [video] * runs[2]


# --- the number of tokens, without the pixels


@pytest.mark.parametrize("limits", [LIMITS, {"min_pixels": 3136, "max_pixels": 50176}, {}])
@pytest.mark.parametrize(
    ("count", "size"),
    [(1, (112, 56)), (5, (100, 75)), (3, (28, 28)), (34, (60, 90)), (2, (640, 480))],
)
def test_tokens_are_counted_as_the_processor_makes_them(
    processor, clip, tmp_path, count, size, limits
):
    shown = record(clip(count, size))
    counted = PromptLength(str(MODEL), limits.get("min_pixels"), limits.get("max_pixels")).count(
        shown, [examine(item, tmp_path) for item in shown.media]
    )
    inputs = processed(processor, shown, tmp_path, **limits)
    assert counted == inputs["input_ids"].shape[1]
    assert int(inputs["video_grid_thw"].prod()) // 4 == video_tokens(processor, inputs)


def test_a_shape_that_the_processor_fails_on_is_refused(processor, clip, tmp_path):
    shown = record(clip(2, (560, 100)))
    with pytest.raises(ValueError, match="height and width must be > 0"):
        processed(processor, shown, tmp_path, **LIMITS)
    length = PromptLength(str(MODEL), *LIMITS.values())
    with pytest.raises(LengthError, match=r"560 x 100: the processor refuses it .*max_pixels"):
        length.count(shown, [examine(item, tmp_path) for item in shown.media])


def test_frames_of_different_sizes_are_refused_as_the_processor_fails_on_them(
    processor, clip, tmp_path
):
    item = clip(3)
    Image.new("RGB", (56, 112)).save(tmp_path / "clip" / "frame_2.png")
    with pytest.raises(RuntimeError, match="equal size"):
        processed(processor, record(item), tmp_path, **LIMITS)
    with pytest.raises(ImageError, match=r"clip: frames of different sizes \(112 x 56, 56 x 112\)"):
        examine(item, tmp_path)


def test_a_video_comes_from_a_file_of_records(processor, clip, tmp_path):
    shown = record(clip(6))
    (tmp_path / "rows.jsonl").write_text(json.dumps(shown.to_row()) + "\n")
    [read] = read_preferences(tmp_path / "rows.jsonl")
    inputs = processed(processor, read, tmp_path, **LIMITS)
    assert inputs["video_grid_thw"].tolist() == [[3, 4, 8]]
