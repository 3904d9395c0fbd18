"""MinHash against plain sets of strings, against datasketch, and near duplicates against both."""

import random
import sys
from itertools import combinations

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from r1reward.core.pair import Preference
from r1reward.data.media_facts import Picture
from r1reward.data.minhash import PERMUTATIONS, normalise, shingles, signature, similarity
from r1reward.data.validate.duplicates import NearDuplicates, band_width, pair_signature, repeated

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PLAIN = Picture(64, 48, None, b"one", ())
OTHER = Picture(64, 48, None, b"two", ())


def words(rng, count):
    return ["".join(rng.choices(LETTERS, k=rng.randint(2, 9))) for _ in range(count)]


def changed(rng, text, share):
    """Return the text with so many of its words replaced."""
    return " ".join(w if rng.random() > share else words(rng, 1)[0] for w in text.split())


def runs(text):
    """Return the five-character strings of a text that is normal already."""
    return {text[place : place + 5] for place in range(len(text) - 4)}


def jaccard(first, second):
    return len(runs(first) & runs(second)) / len(runs(first) | runs(second))


# --- texts


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("What IS  this?\n", "what is this"),
        ("“Is it, perhaps,” (she) asked: 'no'!", "is it perhaps she asked no"),
        ("2 + 2 = 4", "2 + 2 = 4"),
        ("x-y*z/50%", "x-y*z/50%"),
        ("Straße", "strasse"),
        ("ﬁne ½ Ａ！", "fine 1⁄2 a"),
        ("图中有几只猫？", "图中有几只猫"),
        ("?!", ""),
    ],
)
def test_what_is_compared_of_a_text(text, normal):
    assert normalise(text) == normal


@given(st.text(max_size=40))
def test_any_text_has_a_signature(text):
    assert signature(text).shape == (PERMUTATIONS,)
    assert similarity(signature(text), signature(f"  {text.upper().lower()}\n")) >= 0
    assert len(shingles(text)) == max(1, len(normalise(text)) - 4)


def test_half_a_surrogate_pair_is_a_character_like_others():
    assert similarity(signature("broken \ud800 text"), signature("broken \ud800 text")) == 1


def test_a_shingle_is_five_characters_and_has_a_hash_of_its_own():
    text = " ".join(words(random.Random(0), 20_000))
    hashes = shingles(text)
    assert len(hashes) == len(text) - 4
    assert len(set(hashes.tolist())) >= len(runs(text)) - 10  # of 32 bits: one or two collide
    assert np.array_equal(shingles("abcdefg")[1:], shingles("bcdefg"))
    assert len(shingles("")) == len(shingles("ab")) == 1
    assert shingles("ab") != shingles("")


@pytest.mark.parametrize("length", [1, 7, 300, 5000, 20_000])
def test_signatures_are_those_of_datasketch(length):
    text = " ".join(words(random.Random(length), length))
    theirs = MinHash(PERMUTATIONS, seed=1, hashfunc=int)
    theirs.update_batch(shingles(text).tolist())
    assert np.array_equal(theirs.hashvalues, signature(text))
    ours = MinHash(hashvalues=signature(text), scheme="affine32")
    assert ours.jaccard(theirs) == 1


def test_the_similarity_is_the_share_of_common_shingles():
    rng, errors = random.Random(1), []
    for _ in range(200):
        first = " ".join(words(rng, rng.randint(5, 80)))
        second = changed(rng, first, rng.random())
        errors.append(similarity(signature(first), signature(second)) - jaccard(first, second))
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.044  # sqrt(1/4 / 128)
    assert np.abs(errors).max() < 5 * 0.044


def test_texts_with_other_salts_have_nothing_in_common():
    text = " ".join(words(random.Random(2), 100))
    assert similarity(signature(text, 7), signature(text, 7)) == 1
    assert similarity(signature(text, 7), signature(text, 8)) < 0.05


def calls(text):
    """How many functions are called for the signature of a text."""
    count = 0

    def seen(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        signature(text)
    finally:
        sys.setprofile(None)
    return count


def test_the_characters_of_a_text_are_hashed_all_at_once():
    """So some thousand texts take a second; a loop over characters calls more for a longer text."""
    rng = random.Random(3)
    short, long = (" ".join(words(rng, count)) for count in (20, 500))
    signature(short)  # imports
    assert calls(short) == calls(long)


# --- rows


def row(question, first="A cat sits on the mat there.", second="A dog runs over the field."):
    return Preference(question, (first, second), (), label=1, source="test")


def test_a_pair_turned_round_is_the_same():
    question = "What can be seen in the picture of the garden?"
    first, second = row(question), row(question)
    turned = Preference(question, first.responses[::-1], (), label=2, source="test")
    assert np.array_equal(pair_signature(first, []), pair_signature(turned, []))
    assert np.array_equal(pair_signature(first, [PLAIN]), pair_signature(second, [PLAIN]))


def test_other_media_make_another_row():
    record = row("What can be seen in the picture?")
    plain = pair_signature(record, [PLAIN])
    for pictures in ([OTHER], [], [PLAIN, PLAIN]):
        assert similarity(plain, pair_signature(record, pictures)) < 0.05


@pytest.mark.parametrize(("threshold", "margin"), [(0.7, 0.1), (0.9, 0.05)])
def test_near_duplicates_are_those_that_all_pairs_show(threshold, margin):
    rng, texts = random.Random(4), []
    for _ in range(30):
        base = " ".join(words(rng, 60))
        texts += [base, *(changed(rng, base, share) for share in (0.0, 0.01, 0.03, 0.06, 0.3))]
    rng.shuffle(texts)
    near = NearDuplicates(threshold)
    signatures = np.stack([signature(text) for text in texts])
    for start in range(0, len(texts), 50):
        near.add(signatures[start : start + 50])
    twins = near.twins()
    sets = [runs(text) for text in texts]
    truth = {
        (later, row): len(sets[row] & sets[later]) / len(sets[row] | sets[later])
        for row, later in combinations(range(len(texts)), 2)
    }
    clear = {row for (row, _), share in truth.items() if share > threshold + margin}
    assert clear
    found = {twin.row for twin in twins}
    assert len(clear - found) <= 0.02 * len(clear)
    for twin in twins:
        assert twin.like < twin.row
        assert truth[twin.row, twin.like] > threshold - 0.15
        assert abs(twin.similarity - truth[twin.row, twin.like]) < 0.2
    assert [twin.row for twin in twins] == sorted(found)


def test_a_thousand_equal_rows_are_linked_without_comparing_all_pairs():
    near = NearDuplicates(0.8)
    near.add(np.tile(signature("the same question over and over"), (1000, 1)))
    twins = near.twins()
    assert [twin.row for twin in twins] == list(range(1, 1000))
    assert {(twin.like, twin.similarity) for twin in twins} == {(0, 1.0)}


def test_nothing_is_like_nothing():
    assert NearDuplicates(0.8).twins() == []
    near = NearDuplicates(0.8)
    near.add(np.zeros((0, PERMUTATIONS), np.uint32))
    assert near.twins() == []


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_bands_find_what_is_just_alike_enough(threshold):
    width = band_width(threshold)
    missed = {r: (1 - threshold**r) ** (PERMUTATIONS // r) for r in (width, width + 1)}
    assert missed[width] <= 0.02 < missed[width + 1]


@given(st.lists(st.integers(0, 8)))
def test_rows_that_are_there_again(numbers):
    expected = [
        (place, numbers.index(n)) for place, n in enumerate(numbers) if n in numbers[:place]
    ]
    assert list(repeated(np.array(numbers, np.uint64))) == expected
