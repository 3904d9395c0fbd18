"""The item of a benchmark: one uid for both orders, and the names of its prompts."""

import hashlib
from dataclasses import replace

from r1reward.core.pair import Media, Pair, Preference
from r1reward.judge.item import Item, prompt_name

PREFERENCE = Preference(
    "Which?", ("left", "right"), (Media("image", "q.png"),), label=2, source="bench"
)
ITEM = Item.of(PREFERENCE, index=7, id="x", groups={"official": "g"}, subgroup="g", cluster="c")


def test_an_item_is_its_preference_at_a_place():
    assert (ITEM.question, ITEM.responses, ITEM.media) == ("Which?", ("left", "right"), (
        Media("image", "q.png"),
    ))  # fmt: skip
    assert (ITEM.label, ITEM.source, ITEM.index, ITEM.id) == (2, "bench", 7, "x")
    assert ITEM.to_row() == PREFERENCE.to_row()


def test_the_uid_is_the_hash_of_row_and_texts_with_the_better_response_first():
    by_hand = '["bench", 7, "Which?", "right", "left"]'
    assert ITEM.uid == hashlib.sha256(by_hand.encode()).hexdigest()[:16]
    assert ITEM.uid != PREFERENCE.uid


def test_the_uid_ignores_order_and_media_but_neither_texts_nor_rows():
    moved = replace(ITEM, media=(Media("image", "other.png"),))
    assert ITEM.uid == ITEM.shown(1).uid == moved.uid
    relabelled = replace(ITEM, label=1)
    assert len({ITEM.uid, replace(ITEM, index=1).uid, relabelled.uid}) == 3


def test_an_item_is_shown_in_both_orders():
    first = ITEM.shown(1)
    assert (first.responses, first.label, first.index) == (("right", "left"), 1, 7)
    assert first.shown(2) == ITEM
    assert ITEM.shown(2) is ITEM


def test_a_prompt_has_the_name_of_its_pair_and_order():
    uid = ITEM.uid
    assert [prompt_name(ITEM), prompt_name(ITEM.shown(1))] == [f"{uid}:2", f"{uid}:1"]
    pair = Pair("Which?", ("left", "right"))
    assert prompt_name(pair) == pair.uid != prompt_name(pair.swapped())
