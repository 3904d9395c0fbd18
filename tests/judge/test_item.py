"""Items of a benchmark: their prompt in either order, and their identity."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from r1reward.core.prompt import build_messages
from r1reward.core.record import Media, Record
from r1reward.judge.item import Item
from r1reward.judge.prompting import item_messages


def item(**values) -> Item:
    record = Record("Which?", ("left", "right"), 2, (Media("image", "q.png"),), "bench")
    return Item(record, 0, "id", {"official": "g"}, "g", "c", **values)


def test_an_items_prompt_is_the_records():
    assert item_messages(item(), max_pixels=99) == build_messages(item().record, max_pixels=99)


@given(
    question=st.text(min_size=1),
    one=st.text(min_size=1),
    two=st.text(min_size=1),
    counts=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_media_of_a_response_stand_after_its_text(question, one, two, counts):
    shown = item().record
    record = replace(shown, question=question, responses=(one, two))
    media = tuple(tuple(Media("image", f"{n}{i}.png") for i in range(counts[n])) for n in (0, 1))
    case = replace(item(), record=record, response_media=media)
    [turn] = item_messages(case, media_root="/m")
    [plain] = build_messages(record, media_root="/m")
    kinds = [part["type"] for part in turn["content"]]
    texts = [part["text"] for part in turn["content"] if part["type"] == "text"]
    assert "".join(texts) == plain["content"][-1]["text"]
    if any(counts):
        assert kinds == [
            *["image", "text"],
            *["image"] * counts[0],
            "text",
            *["image"] * counts[1],
            "text",
        ]
        assert texts[0].endswith(f"###### [Response 1]:\n{one}")
        assert texts[1] == f"  \n\n###### [Response 2]:\n{two}"
        swapped = case.shown(1).response_media
        assert swapped == media[::-1]


def test_uid_ignores_order_and_media_but_neither_texts_nor_rows():
    base = item()
    moved = replace(base, record=replace(base.record, media=(Media("image", "other.png"),)))
    assert base.uid == base.shown(1).uid == moved.uid
    relabelled = replace(base, record=replace(base.record, label=1))
    assert len({base.uid, replace(base, index=1).uid, relabelled.uid}) == 3
