"""Rows of POVID."""

import json

import pytest
from support.sources import published, read, refused

from r1reward.core.pair import Media
from r1reward.core.rows import cut, read_unit


def turns(question, answer):
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


HALLUCINATED = {
    "id": "COCO_train2014_000000353952",
    "image": "./data/coco/COCO_train2014_000000353952.jpg",
    "conversations": turns("<image>\nDescribe it.", "A horse."),
    "rejected_conversations": turns("<image>\nDescribe it.", "A horse and a carriage."),
}


def test_povid_from_its_list(tmp_path):
    (tmp_path / "POVID.json").write_text(json.dumps([HALLUCINATED, HALLUCINATED], indent=4))
    [unit] = cut(tmp_path / "POVID.json")
    for _, row in read_unit(unit):
        [found] = read("povid", row)
        image = (Media("image", "COCO_train2014_000000353952.jpg"),)
        expected = ("Describe it.", "A horse.", "A horse and a carriage.", image, "povid")
        assert found == published(*expected, "COCO_train2014_000000353952")


@pytest.mark.parametrize(
    ("question", "plain"),
    [
        ("Describe it.\n<image>", "Describe it."),
        ("<image>Describe it.", "Describe it."),
        ("What does <image> mean in HTML?", "What does <image> mean in HTML?"),
    ],
)
def test_the_mark_of_the_image_is_not_part_of_the_question(question, plain):
    row = HALLUCINATED | {
        "conversations": turns(question, "a"),
        "rejected_conversations": turns(question, "b"),
    }
    assert read("povid", row)[0].preference.question == plain


@pytest.mark.parametrize(
    ("rejected", "reason"),
    [
        (turns("Another question?", "b"), "turns"),
        (turns("<image>\nDescribe it.", "b") * 2, "turns"),
        (turns("<image>\nDescribe it.", "b")[:1], "turns"),
        (turns("<image>\nDescribe it.", ""), "text"),
        (None, "schema"),
        (["text"], "schema"),
    ],
)
def test_povid_dialogues_that_do_not_fit_are_refused(rejected, reason):
    assert refused("povid", HALLUCINATED | {"rejected_conversations": rejected})[0] == reason
