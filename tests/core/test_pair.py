"""Pairs and preferences: parts in order, content hashes, and the two orders."""

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1reward.core.pair import Media, Pair, Preference, joined, parts_of, same, text_of

A, B, CLIP = Media("image", "a.png"), Media("image", "b.png"), Media("video", "clip")
PREFERENCE = Preference("Wie viele Bäume?", ("Zwei.", "Drei."), (A, CLIP), label=2, source="photos")
WITHIN = Preference(
    question=("Which of ", A, " and ", B, "?"),
    responses=("The first.", ("Look: ", CLIP)),
    media=(B,),
    label=1,
    source="photos",
)

# --- content


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b", ""], "ab"),
        ([A], (A,)),
        (["a", "b", A, A, "", "c", "d"], ("ab", A, A, "cd")),
        (["", A, " "], (A, " ")),
    ],
)
def test_parts_have_one_normal_form(parts, content):
    assert joined(parts) == content
    assert joined(parts_of(content)) == content


def test_the_text_of_content_shows_where_media_stand():
    assert text_of("a <image> b") == "a <image> b"
    assert text_of(("See ", A, CLIP, ".")) == "See <image><video>."


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ("a", " a\n", True),
        ("\u00e9", "e\u0301", True),
        ("a", "A", False),
        (("a", A), ("a ", A), True),
        (("a", A), ("a", B), False),
        ((A, "a"), ("a", A), False),
        ("<image>", (A,), False),
    ],
)
def test_contents_are_the_same_when_they_say_and_show_the_same(first, second, equal):
    assert same(first, second) == same(second, first) == equal


# --- media


def test_all_media_are_those_of_the_prompt_in_order():
    assert PREFERENCE.all_media() == (A, CLIP)
    assert WITHIN.all_media() == (B, A, B, CLIP)
    assert PREFERENCE.is_plain
    assert not WITHIN.is_plain


def test_other_media_take_the_places_of_these():
    others = [Media(one.kind, f"{n}") for n, one in enumerate(WITHIN.all_media())]
    moved = WITHIN.with_media(others)
    assert moved.all_media() == tuple(others)
    assert text_of(moved.question) == "Which of <image> and <image>?"
    assert moved.with_media(WITHIN.all_media()) == WITHIN
    for wrong in (others[:3], [*others, A]):
        with pytest.raises(ValueError, match="media for the 4 places"):
            WITHIN.with_media(wrong)


# --- the two orders


def test_the_other_order_exchanges_responses_and_label():
    pair = Pair("Q?", ("a", "b"), (A,))
    assert pair.swapped() == Pair("Q?", ("b", "a"), (A,))
    other = WITHIN.swapped()
    assert (other.responses, other.label) == (WITHIN.responses[::-1], 2)
    assert other.swapped() == WITHIN


# --- content hash


def hash_of(canonical):
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def test_the_uid_is_the_hash_of_the_canonical_json():
    preference = dataclasses.replace(PREFERENCE, media=(Media("image", "a.jpg"),))
    written_by_hand = (
        '{"label":2,"media":[{"kind":"image","uri":"a.jpg"}],"question":"Wie viele Bäume?",'
        '"responses":["Zwei.","Drei."],"source":"photos"}'
    )
    assert preference.uid == hash_of(written_by_hand)
    assert preference.uid == "5a25215d10cb88ef"  # the same, by sha256sum
    quoted = Preference('"Why"\n?', ("A", "B"), (), label=1, source="s")
    assert quoted.uid == "c6c6d2e873152479"


def test_media_within_texts_are_part_of_the_uid():
    pair = Pair(("Is it ", A, "?"), ("Yes.", ("No: ", B)))
    assert pair.uid == hash_of(
        '{"media":[],"question":[{"kind":"text","text":"Is it "},{"kind":"image","uri":"a.png"},'
        '{"kind":"text","text":"?"}],"responses":["Yes.",[{"kind":"text","text":"No: "},'
        '{"kind":"image","uri":"b.png"}]]}'
    )


def test_the_uid_depends_on_every_field_and_on_order():
    image, video = PREFERENCE.media
    changed = [
        {"question": "Wie viele?"},
        {"question": ("Wie viele Bäume?", image)},
        {"responses": ("Drei.", "Zwei.")},
        {"responses": ("Zwei.", "Vier.")},
        {"responses": ("Zwei.", ("Drei.", image))},
        {"responses": ("Zwei.", (image, "Drei."))},
        {"label": 1},
        {"media": ()},
        {"media": (video, image)},
        {"media": (Media("video", "a.png"), video)},
        {"media": (Media("image", "b.png"), video)},
        {"source": "others"},
    ]
    uids = [dataclasses.replace(PREFERENCE, **fields).uid for fields in changed]
    assert len({PREFERENCE.uid, *uids}) == 1 + len(changed)
    assert {name for fields in changed for name in fields} == set(PREFERENCE.to_row())


PARTS = st.lists(
    st.text(max_size=3) | st.builds(Media, st.sampled_from(["image", "video"]), st.text())
)


@given(PARTS)
def test_the_normal_form_keeps_texts_and_media(parts):
    content = joined(parts)
    marked = [part if isinstance(part, str) else f"<{part.kind}>" for part in parts]
    assert text_of(content) == "".join(marked)
    media = [part for part in parts_of(content) if isinstance(part, Media)]
    assert media == [part for part in parts if isinstance(part, Media)]
    assert isinstance(content, str) == (not media)
