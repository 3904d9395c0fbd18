"""Your own pairs."""

import pytest
from support.sources import published, read, refused

from r1reward.core.pair import Media

PLAIN = {"question": "Where?", "chosen": "Here.", "rejected": "There.", "image": "a.jpg"}


def test_plain_pairs():
    image = (Media("image", "a.jpg"),)
    assert read("plain", PLAIN) == [published("Where?", "Here.", "There.", image, "plain", "")]
    named = read("plain", PLAIN | {"id": 12, "image": None}, label="mine")
    assert named == [published("Where?", "Here.", "There.", (), "mine", "12")]


@pytest.mark.parametrize("field", ["question", "chosen", "rejected"])
@pytest.mark.parametrize("value", [None, "", " \n", 5, ["a"]])
def test_a_text_that_is_none_is_named(field, value):
    reason, message = refused("plain", PLAIN | {field: value})
    assert reason == "text"
    assert message.startswith(f"{field}={value!r}")


def test_a_missing_image_field_is_not_taken_for_no_image():
    row = {key: value for key, value in PLAIN.items() if key != "image"}
    reason, message = refused("plain", row | {"images": ["a.jpg"]})
    assert (reason, "found: question, chosen, rejected, images" in message) == ("schema", True)
