"""The judging prompt against the original release, and the chat around it."""

import base64
import hashlib
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from r1reward.core.media import ImageError
from r1reward.core.pair import Media, Pair, joined, text_of
from r1reward.core.prompt import PROMPT, build_messages, prompt_parts, render_prompt

# Taken from the code block of the original repository's README (section 5, ``prompt_template``).
RELEASED_SHA256 = "5593ecd7d4d7ec962076e313f8b061a91e39e1b68f6517afb4278a3bbdc89245"
# The same template after ``.format(question="Q?", answer1="A", answer2="B")``.
RENDERED_SHA256 = "a8010b91cc20d77d1d8f726a3b399f3eda6d63f7b41e03921f3cb1d5ae64f466"
PAIR = Pair("What?", ("A cat.", "A dog."))


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def with_media(*media):
    return replace(PAIR, media=media)


def content_of(pair, **options):
    [message] = build_messages(pair, **options)
    assert set(message) == {"role", "content"}
    assert message["role"] == "user"
    return message["content"]


# --- text


def test_the_prompt_is_the_released_one_byte_for_byte():
    assert len(PROMPT) == len(PROMPT.encode()) == 717
    assert sha256(PROMPT) == RELEASED_SHA256
    rendered = render_prompt("Q?", ("A", "B"))
    assert len(rendered) == 693
    assert sha256(rendered) == RENDERED_SHA256


def test_the_parts_of_the_prompt():
    text = render_prompt("Q?", ("A", "B"))
    assert text.startswith("You are a highly skilled and impartial evaluator tasked with comparing")
    assert text.count("\n\n") == 5
    assert '\n  - Output "1" if Response 1 is better.\n  - Output "2" if Response 2' in text
    inputs = text[text.index("###### **Input:**") : text.index("###### **Output")]
    assert inputs == (
        "###### **Input:**  \n###### [Question]:\nQ?  \n\n"
        "###### [Response 1]:\nA  \n\n###### [Response 2]:\nB  \n\n"
    )
    assert text.endswith(
        "###### **Output Format (strictly follow):**  \n"
        "<think>Your detailed comparative analysis goes here</think><answer>1/2</answer>"
    )


@pytest.mark.parametrize(
    "text",
    ["{answer1}", "{question} {answer2}", "{}", "{0}", "{{x}}", "\\1 \\g<0>", "{a!r:>{b}}", "%s"],
)
def test_braces_in_a_text_are_text(text):
    before, after = render_prompt("Q?", ("@@", "B")).split("@@")
    assert render_prompt("Q?", (text, "B")) == before + text + after
    assert f"[Question]:\n{text}  \n" in render_prompt(text, ("A", "B"))
    assert f"[Response 2]:\n{text}  \n" in render_prompt("Q?", ("A", text))


@given(st.text(), st.text(), st.text())
def test_the_texts_are_inserted_unchanged_and_in_order(question, first, second):
    heads = ("[Question]:\n", "[Response 1]:\n", "[Response 2]:\n")
    position, text = 0, render_prompt(question, (first, second))
    for head, value in zip(heads, (question, first, second), strict=True):
        position = text.index(head, position) + len(head)
        assert text[position:].startswith(f"{value}  \n\n")
        position += len(value)
    assert len(text) == 693 - len("Q?AB") + len(question) + len(first) + len(second)


@pytest.mark.parametrize("place", ["question", "first", "second"])
def test_the_text_of_content_with_media_is_the_prompt_with_marks(place):
    contents = {"question": "Q", "first": "A", "second": "B"}
    contents[place] = ("See ", Media("video", "clip"), ".")
    question, first, second = contents.values()
    marked = [text_of(content) for content in contents.values()]
    assert render_prompt(question, (first, second)) == render_prompt(marked[0], (*marked[1:],))
    assert marked[list(contents).index(place)] == "See <video>."


# --- chat


def test_a_pair_without_media_is_one_text():
    text = render_prompt("What?", ("A cat.", "A dog."))
    assert content_of(PAIR) == [{"type": "text", "text": text}]


def test_media_come_before_the_text_in_their_order(tmp_path):
    (tmp_path / "clip").mkdir()
    for number in (10, 2, 1):
        (tmp_path / "clip" / f"frame_{number}.jpg").touch()
    pair = with_media(Media("image", "b.jpg"), Media("video", "clip"), Media("image", "a.jpg"))
    *media, text = content_of(pair, media_root=tmp_path)
    assert media == [
        {"type": "image", "image": f"{tmp_path}/b.jpg"},
        {"type": "video", "video": [f"{tmp_path}/clip/frame_{n}.jpg" for n in (1, 2, 10)]},
        {"type": "image", "image": f"{tmp_path}/a.jpg"},
    ]
    assert text == {"type": "text", "text": render_prompt("What?", ("A cat.", "A dog."))}


def test_data_uris_pass_unchanged(tmp_path):
    uri = "data:image/png;base64,iVBORw0KGgo="
    [image, _] = content_of(with_media(Media("image", uri)), media_root=tmp_path)
    assert image == {"type": "image", "image": uri}


def test_media_within_texts_stand_at_their_places():
    one, two, three, four = (Media("image", f"{n}.png") for n in (1, 2, 3, 4))
    pair = Pair(("Like ", one, "?"), ((two, "A cat."), ("A dog", three)), (four,))
    shown = [part.get("image") or part["text"] for part in content_of(pair, media_root="/m")]
    before, between, after, end = render_prompt("@Q@", ("@A@", "@B@")).split("@")[::2]
    assert shown == [
        "/m/4.png",
        f"{before}Like ",
        "/m/1.png",
        f"?{between}",
        "/m/2.png",
        f"A cat.{after}A dog",
        "/m/3.png",
        end,
    ]


PARTS = st.lists(
    st.text(max_size=5) | st.builds(Media, st.just("image"), st.sampled_from("abc")), max_size=4
)


@given(PARTS, PARTS, PARTS, st.sampled_from([(), (Media("image", "q.png"),)]))
def test_parts_of_the_prompt_are_its_text_and_all_media_in_order(question, one, two, media):
    pair = Pair(joined(question), (joined(one), joined(two)), media)
    parts = prompt_parts(pair)
    assert tuple(part for part in parts if isinstance(part, Media)) == pair.all_media()
    texts = [part if isinstance(part, str) else "<image>" for part in parts[len(media) :]]
    assert "".join(texts) == render_prompt(pair.question, pair.responses)
    assert parts[: len(media)] == media


@pytest.mark.parametrize(
    "limits", [{}, {"min_pixels": 3136}, {"max_pixels": 12544}, {"min_pixels": 1, "max_pixels": 9}]
)
def test_pixel_limits_stand_on_every_medium_and_only_when_given(tmp_path, limits):
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "1.jpg").touch()
    pair = with_media(Media("image", "a.jpg"), Media("video", "clip"))
    image, video, text = content_of(pair, media_root=tmp_path, **limits)
    assert image == {"type": "image", "image": f"{tmp_path}/a.jpg"} | limits
    assert video == {"type": "video", "video": [f"{tmp_path}/clip/1.jpg"]} | limits
    assert set(text) == {"type", "text"}


@pytest.mark.parametrize(
    "item",
    [Media("image", "../a.jpg"), Media("image", "http://a/b.jpg"), Media("video", "missing")],
)
def test_media_that_cannot_be_used_are_refused(tmp_path, item):
    with pytest.raises(ImageError):
        build_messages(with_media(item), media_root=tmp_path)


def test_the_processor_of_qwen_reads_the_chat(tmp_path):
    from qwen_vl_utils import process_vision_info

    buffer = io.BytesIO()
    Image.new("RGB", (90, 60), (0, 0, 255)).save(buffer, "PNG")
    (tmp_path / "photo.png").write_bytes(buffer.getvalue())
    (tmp_path / "clip").mkdir()
    for number in range(4):
        (tmp_path / "clip" / f"{number}.png").write_bytes(buffer.getvalue())
    # As a released row's base64 column becomes it, and as others write it: with line breaks.
    plain = "data:image;base64," + base64.b64encode(buffer.getvalue()).decode()
    wrapped = "data:image/png;base64," + base64.encodebytes(buffer.getvalue()).decode()
    uris = ("photo.png", plain, wrapped)
    pair = with_media(*(Media("image", uri) for uri in uris), Media("video", "clip"))
    messages = build_messages(pair, media_root=tmp_path, min_pixels=3136, max_pixels=12544)
    images, videos = process_vision_info(messages)
    # 90 x 60 to multiples of 28: 84 x 56, within the limits.
    assert [(image.mode, image.size) for image in images] == [("RGB", (84, 56))] * 3
    assert {image.getpixel((40, 20)) for image in images} == {(0, 0, 255)}
    assert [len(video) for video in videos] == [4]
