"""Preferences from rows of the released set."""

import json

import pytest
from support.released import released

from r1reward.core.fields import PreferenceError
from r1reward.core.pair import Media, Preference
from r1reward.core.preferences import parse_preference

# The first bytes of a JPEG, long enough not to be a path.
BASE64 = "/9j/4AAQSkZJRgABAQ" + "A" * 96 + "/+8Kq2Q=="


def read_row(row):
    return parse_preference(row, where="here:1")


@pytest.mark.parametrize("marks", ["####", "######"])
def test_a_released_row(marks):
    assert read_row(released(marks=marks)) == Preference(
        question="What is it?",
        responses=("A cat.", "A dog."),
        label=2,
        media=(Media("image", "x.jpg"),),
        source="r1_reward_rl",
    )


@pytest.mark.parametrize(
    "text",
    [
        "# Summary\n\n#### [Note]:\n- one\n- two\n\n###### **Conclusion**\nA cat.",
        "I was told: [Response 1]: is better. See #### [Response 2]: there.",
        "The answer is {answer1}, \\1 and <answer>1</answer>.",
        "#### **Output Format**\nJSON.\n\nDone.",
        "Line one.\r\nLine two.\n\n\nLine five.",
    ],
)
def test_markdown_in_a_response_is_kept(text):
    assert read_row(released(second=text)).responses == ("A cat.", text)
    assert read_row(released(text)).responses == (text, "A dog.")


def test_headings_in_the_question_are_not_headings():
    question = "Which is right?\n#### [Response 1]:\nfoo\n#### [Response 2]:\nbar"
    record = read_row(released(question=question))
    assert (record.question, record.responses) == (question, ("A cat.", "A dog."))


def test_an_ambiguous_prompt_is_refused_not_guessed():
    for bad in (
        released(second="Both.\n#### [Response 1]:\nA cow."),
        released(second="Both.\n### [Response 2]:\nA cow."),
        released() | {"message": json.dumps([{"role": "user", "content": "What is it?"}])},
    ):
        with pytest.raises(PreferenceError, match=r"^here:1: message has .*Response 1"):
            read_row(bad)
    swapped = "#### [Response 2]:\nA\n#### [Response 1]:\nB"
    with pytest.raises(PreferenceError, match="message shows Response 2 before Response 1"):
        read_row(released() | {"message": json.dumps([{"role": "user", "content": swapped}])})


@pytest.mark.parametrize(
    ("image", "uri"),
    [
        ("/9j/photos/cat.jpg", "/9j/photos/cat.jpg"),
        ("/9j/" + "folder/" * 20 + "cat.jpg", "/9j/" + "folder/" * 20 + "cat.jpg"),
        ("images/Qk-x.bmp", "images/Qk-x.bmp"),
        ("data:image/png;base64,iVBORw0KGgo=", "data:image/png;base64,iVBORw0KGgo="),
        (BASE64, "data:image;base64," + BASE64),
        ("\n".join([BASE64[:76], BASE64[76:], ""]), "data:image;base64," + BASE64),
        ("iVBORw0KGgo" + "A" * 80, "data:image;base64,iVBORw0KGgo" + "A" * 80),
    ],
)
def test_the_image_column_is_a_path_a_data_uri_or_plain_base64(image, uri):
    assert read_row(released(image=image)).media == (Media("image", uri),)


@pytest.mark.parametrize("image", [None, ""])
def test_without_the_column_the_image_of_the_chat_counts(image):
    assert read_row(released(image=image)).media == (Media("image", "/theirs/x.jpg"),)


def test_text_only_rows_have_no_media():
    text = json.loads(released()["message"])[0]["content"][0]["text"]
    for content in (text, [{"type": "text", "text": text, "image": None}]):
        row = released(image=None) | {"message": json.dumps([{"role": "user", "content": content}])}
        assert read_row(row).media == ()


def test_a_chat_need_not_be_text():
    """Parquet can hold it as lists of structs, in which absent keys are null."""
    chat = json.loads(released()["message"])
    for part in chat[0]["content"]:
        part.setdefault("text", None)
        part.setdefault("image", None)
    assert read_row(released() | {"message": chat}) == read_row(released())


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        (["<answer>1</answer>"], 1),
        (["<answer>2</answer>"], 2),
        ("<answer>1</answer>", 1),
        ([" <answer> 2\n</answer>\n"], 2),
    ],
)
def test_released_labels(answer, label):
    assert read_row(released(answer=answer)).label == label
