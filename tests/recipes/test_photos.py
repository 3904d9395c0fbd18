"""The embedded photo set: what it promises about photos, splits, labels and licences."""

import hashlib
import json
import re
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from r1reward.config.compose import REPO
from r1reward.core.preferences import read_preferences
from r1reward.recipes.photos.build import build

HERE = REPO / "recipes" / "photos"
SPLITS = {
    name: list(read_preferences(HERE / f"{name}.jsonl")) for name in ("train", "validation", "test")
}
MANIFEST = {
    photo["image"]: photo
    for photo in map(json.loads, (HERE / "manifest.jsonl").read_text().splitlines())
}
# What an answer calls each kind; no name is part of another.
NAMES = {
    "an animal": "animal",
    "a fish": "fish",
    "a monument": "monument",
    "an everyday object": "object",
    "a source of renewable energy": "renewable energy",
    "a tool": "tool",
}
# Both can be true of one photo, so neither may be the wrong answer to the other.
BOTH_TRUE = [{"fish", "animal"}, {"tool", "object"}, {"renewable energy", "monument"}]


def kind_of(response):
    [name] = [name for name in NAMES if f" {name}" in response]
    return NAMES[name]


def photos_of(split):
    return {item.uri for record in SPLITS[split] for item in record.media}


each_split = pytest.mark.parametrize("split", SPLITS)


# --- photos


def test_every_image_is_listed_opens_and_is_different():
    files = {f"images/{path.name}" for path in (HERE / "images").iterdir()}
    assert files == set(MANIFEST)
    assert len({hashlib.sha256((HERE / name).read_bytes()).digest() for name in files}) == len(
        files
    )
    for name in files:
        with Image.open(HERE / name) as image:
            image.load()
            assert min(image.size) >= 56  # at least two by two patches of 28 pixels


def test_every_photo_is_free_and_attributed():
    text = (HERE / "ATTRIBUTION.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if ".webp" in line]
    assert len(rows) == len(MANIFEST)
    for file, _, title, author, licence, source in rows:
        photo = MANIFEST[f"images/{file}"]
        assert licence == photo["license"]
        assert licence in ("Public Domain", "CC0-1.0")
        assert author == photo["author"] != ""
        assert source == f"<{photo['source']}>"
        assert re.fullmatch(r"<https?://[^\s<>]+>", source)
        assert title


# --- splits


def test_no_photo_and_no_subject_is_in_two_splits():
    for one, other in combinations(SPLITS, 2):
        photos = photos_of(one), photos_of(other)
        assert not photos[0] & photos[1]
        subjects = [{MANIFEST[photo]["subject"] for photo in group} for group in photos]
        assert not subjects[0] & subjects[1]
    assert set().union(*map(photos_of, SPLITS)) == set(MANIFEST)


def test_no_photo_of_one_split_is_nearly_one_of_another():
    """By the signs of horizontal differences at 17 x 16 pixels: copies differ in a few of 256."""

    def signs(path):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L").resize((17, 16)), dtype=int)
        return (pixels[:, 1:] > pixels[:, :-1]).ravel()

    found = {split: np.stack([signs(HERE / uri) for uri in photos_of(split)]) for split in SPLITS}
    for one, other in combinations(SPLITS, 2):
        distance = (found[one][:, None] != found[other][None]).sum(-1)
        assert distance.min() > 25


@each_split
def test_every_kind_is_in_every_split(split):
    kinds = Counter(MANIFEST[photo]["kind"] for photo in photos_of(split))
    assert set(kinds) == set(NAMES.values())
    assert min(kinds.values()) >= 2


def test_the_sizes_of_the_splits():
    assert {name: len(records) for name, records in SPLITS.items()} == {
        "train": 1048, "validation": 184, "test": 204,
    }  # fmt: skip


# --- pairs


@each_split
def test_the_label_says_which_answer_names_the_photo(split):
    for record in SPLITS[split]:
        [photo] = record.media
        kinds = [kind_of(response) for response in record.responses]
        right, wrong = kinds[record.label - 1], kinds[2 - record.label]
        assert photo.kind == "image"
        assert right == MANIFEST[photo.uri]["kind"]
        assert wrong != right
        assert {right, wrong} not in BOTH_TRUE
        assert record.source == "photos"


@each_split
def test_both_answers_use_the_same_words(split):
    for record in SPLITS[split]:
        bare = {re.sub("|".join(NAMES), "{}", response) for response in record.responses}
        assert len(bare) == 1


@each_split
def test_labels_are_balanced(split):
    labels = Counter(record.label for record in SPLITS[split])
    assert labels[1] == labels[2]


@each_split
def test_two_kinds_in_one_order_tell_nothing_about_the_label(split):
    counts = Counter((*map(kind_of, r.responses), r.label) for r in SPLITS[split])
    for first, second, label in counts:
        assert counts[first, second, label] == counts[first, second, 3 - label]
    assert len({pair[:2] for pair in counts}) == 6 * 5 - 2 * len(BOTH_TRUE)


@each_split
def test_every_photo_and_wrong_answer_come_in_both_orders(split):
    counts = Counter()
    for record in SPLITS[split]:
        counts[record.media[0].uri, kind_of(record.responses[2 - record.label]), record.label] += 1
    for photo, wrong, label in counts:
        assert counts[photo, wrong, label] == counts[photo, wrong, 3 - label]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_answers_learnt_by_heart_without_the_photo_are_right_half_the_time(split):
    seen = Counter((r.question, r.responses, r.label) for r in SPLITS["train"])

    def score(record):
        votes = [seen[record.question, record.responses, label] for label in (1, 2)]
        return 0.5 if votes[0] == votes[1] else float(votes[record.label - 1] == max(votes))

    scores = [score(record) for record in SPLITS[split]]
    # Four standard errors of guessing: chance alone leaves them once in 16,000 sets.
    assert abs(np.mean(scores) - 0.5) < 4 * 0.5 / len(scores) ** 0.5


def test_no_record_occurs_twice():
    uids = Counter(record.uid for records in SPLITS.values() for record in records)
    assert max(uids.values()) == 1


# --- build


def test_building_again_gives_the_same_bytes(tmp_path):
    counts = build(tmp_path, seed=0)
    assert counts == {name: len(records) for name, records in SPLITS.items()}
    for name in ("train.jsonl", "validation.jsonl", "test.jsonl", "ATTRIBUTION.md"):
        assert (tmp_path / name).read_bytes() == (HERE / name).read_bytes()


def test_another_seed_gives_other_splits(tmp_path):
    build(tmp_path, seed=1)
    held_out = {record.media[0].uri for record in read_preferences(tmp_path / "test.jsonl")}
    assert held_out != photos_of("test")
