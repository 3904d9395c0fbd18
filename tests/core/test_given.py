"""Texts and images as a program gives them: every form, and errors that name the argument."""

import base64

import pytest
from PIL import Image

from r1reward.config.compose import REPO
from r1reward.core.given import ArgumentError, content_given, images_given, video_given
from r1reward.core.media import ImageError, open_image
from r1reward.core.pair import Media

PHOTO = REPO / "recipes" / "photos" / "images" / "categorization-renewable-windmill11.webp"
CONTENT = PHOTO.read_bytes()
BY_PATH = Media("image", str(PHOTO))
EMBEDDED = Media("image", "data:image;base64," + base64.b64encode(CONTENT).decode())


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (PHOTO, BY_PATH),
        (str(PHOTO), BY_PATH),
        (PHOTO.name, BY_PATH),
        (CONTENT, EMBEDDED),
        (EMBEDDED.uri, EMBEDDED),
        (BY_PATH, BY_PATH),
    ],
)
def test_an_image_comes_alone_or_among_others(image, expected, monkeypatch):
    monkeypatch.chdir(PHOTO.parent)
    assert images_given(image) == (expected,)
    assert images_given([image, PHOTO]) == (expected, BY_PATH)
    assert images_given(one for one in (image,)) == (expected,)
    assert images_given(()) == ()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "LA"])
def test_pixels_are_kept(mode):
    image = Image.open(PHOTO).convert("RGB").resize((40, 30)).convert(mode)
    [media] = images_given(image)
    assert open_image(media.uri, None).tobytes() == image.convert("RGB").tobytes()


def test_a_content_is_a_text_or_parts_in_order():
    assert content_given("question", "What?") == "What?"
    assert content_given("question", ["Is ", "it ", PHOTO, "?"]) == ("Is it ", BY_PATH, "?")
    assert content_given("question", (CONTENT,)) == (EMBEDDED,)
    assert content_given("question", ["a", "b"]) == "ab"


def test_a_video_is_a_folder_of_frames(tmp_path):
    Image.new("RGB", (60, 60)).save(tmp_path / "1.png")
    assert video_given(tmp_path) == Media("video", str(tmp_path))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "^question=''; give a text that is not empty"),
        (" \n", "^question="),
        ([], "^question=''"),
        (5, "^question=5"),
        ("a\ud800", "^question holds"),
        (["a", 5], r"^question\[1\] is int; give a path, a data URI, bytes or a PIL image"),
        (["a", None], r"^question\[1\] is NoneType"),
    ],
)
def test_a_content_that_is_none_is_named(value, message):
    with pytest.raises(ArgumentError, match=message):
        content_given("question", value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (["nowhere.png"], r"^images\[0\]: .*nowhere\.png: no such image"),
        ([PHOTO, b"no image"], r"^images\[1\]: .*not an image"),
        (CONTENT[:400], "^images: .*damaged"),
        ("https://example.org/a.png", "^images: .*a remote address; download it"),
        ("data:text/html;base64,AAAA", "^images: .*a data URI of something else"),
    ],
)
def test_an_image_that_cannot_be_opened_is_named(images, message):
    with pytest.raises(ImageError, match=message):
        images_given(images)


def test_a_video_that_is_none_is_named(tmp_path):
    for path in (PHOTO, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ImageError, match=r"^video: .*(no such folder|no frames)"):
            video_given(path)
