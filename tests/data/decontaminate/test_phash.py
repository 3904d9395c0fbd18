"""Images found again: hashes against ImageHash, the index against counting, planted copies."""

import json

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from r1reward.config.compose import REPO
from r1reward.data.decontaminate.alignment import align, likeness
from r1reward.data.decontaminate.images import ImageIndex, pixels_digest
from r1reward.data.decontaminate.phash import (
    SIDE,
    WINDOWS,
    HammingIndex,
    coefficients,
    hashes,
    thumbnail,
    window_hashes,
)
from r1reward.tools.bench.planted import CHANGES, DRAWINGS, cut, seeded

PHOTOS = REPO / "recipes" / "photos"
LISTED = [json.loads(line) for line in (PHOTOS / "manifest.jsonl").read_text().splitlines()]
SHOWN = LISTED[::4]  # 45 photos
LEAST = 0.9
SIMPLE = ("scaled", "JPEG", "WebP", "brightness")


@pytest.fixture(scope="module")
def photos():
    return [Image.open(PHOTOS / photo["image"]).convert("RGB") for photo in SHOWN]


@pytest.fixture(scope="module")
def index(photos):
    return index_of(photos)


def index_of(images):
    return ImageIndex.build([thumbnail(i) for i in images], [pixels_digest(i) for i in images])


def number_of(hash_):
    return int(str(hash_), 16)


def bits(one, other):
    return (int(one) ^ int(other)).bit_count()


# --- hashes


def test_the_hash_is_that_of_imagehash():
    rng = np.random.default_rng(0)
    for _ in range(100):
        small = rng.integers(0, 256, (32, 32), dtype=np.uint8)
        large = np.kron(small, np.ones((SIDE // 32, SIDE // 32), np.uint8))
        found = hashes(coefficients(large))
        assert int(found) == number_of(imagehash.phash(Image.fromarray(small)))


def test_the_hash_of_a_window_is_nearly_that_of_the_crop(photos):
    for number, photo in enumerate(photos):
        place = seeded(number).randrange(len(WINDOWS))
        top, bottom, left, right = WINDOWS[place]
        crop = cut(photo, (left, top, 1 - right, 1 - bottom))
        found, visible = window_hashes(thumbnail(photo))
        assert visible[place]
        assert bits(found[place], number_of(imagehash.phash(crop))) <= 6
        assert found[place] == hashes(coefficients(thumbnail(photo), place))


def test_windows_leave_out_up_to_a_fifth_of_each_side():
    assert WINDOWS[0] == (0, 1, 0, 1)
    assert len(set(WINDOWS)) == 5**4
    assert min(window[1] - window[0] for window in WINDOWS) == pytest.approx(0.6)


def test_an_even_surface_shows_nothing():
    assert not window_hashes(np.full((SIDE, SIDE), 200, np.uint8))[1].any()


# --- the index of hashes


@pytest.fixture(scope="module")
def planted():
    """Random hashes, and ones around the first hundred of them."""
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2**64, 3000, dtype=np.uint64)
    for place in range(100, 2000):
        turned = rng.choice(64, rng.integers(0, 13), replace=False)
        flips = np.bitwise_or.reduce(np.uint64(1) << turned.astype(np.uint64), initial=np.uint64(0))
        values[place] = values[place % 100] ^ flips
    return values


def test_every_hash_within_eight_bits_is_found_and_no_other(planted, tmp_path):
    built = HammingIndex.build(planted)
    built.save(tmp_path)
    loaded = HammingIndex.load(tmp_path)
    seen = set()
    for value in planted[:100]:
        distances = [bits(value, other) for other in planted]
        wanted = [place for place, distance in enumerate(distances) if distance <= 8]
        seen |= {distance for distance in distances if distance <= 8}
        assert built.near(value).tolist() == loaded.near(value).tolist() == wanted
    assert seen == set(range(9))


def test_an_index_of_nothing_finds_nothing(tmp_path, photos):
    assert HammingIndex.build(np.empty(0, np.uint64)).near(np.uint64(7)).tolist() == []
    empty = index_of([])
    empty.save(tmp_path)
    assert empty.find(photos[0], LEAST) == ImageIndex.load(tmp_path).find(photos[0], LEAST) == []


# --- alignment


def test_the_place_of_a_crop_is_found(photos):
    away = []
    for number, photo in enumerate(photos):
        rng = seeded(number)
        left, top, right, bottom = (rng.uniform(0, 0.2) for _ in range(4))
        crop = cut(photo, (left, top, right, bottom))
        about = (round(top, 1), 1 - round(bottom, 1), round(left, 1), 1 - round(right, 1))
        place = align(thumbnail(crop), thumbnail(photo), about)
        away.append(np.abs(np.array(place) - (top, 1 - bottom, left, 1 - right)).max())
        if likeness(thumbnail(crop), thumbnail(photo), place) >= LEAST:
            assert away[-1] < 0.02
    assert np.mean(np.array(away) < 0.01) > 0.9


def test_brightness_and_contrast_do_not_count(photos):
    whole = (0.0, 1.0, 0.0, 1.0)
    for photo in photos[:10]:
        thumb = thumbnail(photo)
        other = thumbnail(
            ImageEnhance.Contrast(ImageEnhance.Brightness(photo).enhance(0.8)).enhance(0.8)
        )
        assert likeness(thumb, thumb, whole) == pytest.approx(1)
        assert likeness(other, thumb, whole) > 0.98
        assert likeness(255 - thumb, thumb, whole) == pytest.approx(-1)
        assert likeness(np.full_like(thumb, 9), thumb, whole) == 0


# --- copies


def found(index, image):
    return [match.image for match in index.find(image, LEAST)]


# Lower bounds of what `r1reward bench-decontaminate` measures with all photos.
@pytest.mark.parametrize(
    ("change", "least"),
    [
        *(
            (name, 0.98)
            for name in CHANGES
            if name.startswith(("scaled", "JPEG", "WebP", "bright"))
        ),
        ("5% off each side", 0.95),
        ("10% off each side", 0.95),
        ("10% off two sides", 0.95),
        ("0 to 10% off each side", 0.95),
        ("0 to 20% off each side", 0.9),
        ("0 to 10% off, 50%, JPEG 60", 0.9),
    ],
)
def test_changed_photos_are_found_and_no_others(photos, index, change, least):
    hits = 0
    for number, photo in enumerate(photos):
        matches = found(index, CHANGES[change](photo, seeded(number)))
        hits += number in matches
        subjects = {SHOWN[match]["subject"] for match in matches}
        assert subjects <= {SHOWN[number]["subject"]}
    assert hits / len(photos) >= least


def test_photos_of_other_things_are_not_found(index):
    indexed = {photo["subject"] for photo in SHOWN}
    for photo in LISTED[1::4]:
        matches = found(index, Image.open(PHOTOS / photo["image"]))
        assert {SHOWN[match]["subject"] for match in matches} <= {photo["subject"]} & indexed


def test_two_files_of_one_photo_are_near_copies():
    """Three photos of the set are there twice, encoded twice."""
    names = ("categorization-monuments-colosseum", "explore_monuments-wonders-colosseum")
    one, other = (Image.open(PHOTOS / "images" / f"{name}.webp") for name in names)
    [match] = index_of([one]).find(other, LEAST)
    assert not match.exact
    assert 0.99 < match.similarity < 1


@pytest.mark.parametrize("kind", ["figures", "line charts", "pages of text"])
def test_drawings_of_one_layout_are_told_apart(kind):
    images = [DRAWINGS[kind](seeded(kind, number)) for number in range(20)]
    built = index_of(images)
    for number, image in enumerate(images):
        assert found(built, CHANGES["scaled to 50%"](image, seeded())) == [number]


def test_equal_pixels_are_exact_whatever_the_file(photos, index):
    for number, photo in enumerate(photos[:10]):
        [match, *_] = index.find(CHANGES["PNG"](photo, seeded()), LEAST)
        assert (match.image, match.similarity, match.exact) == (number, 1.0, True)
        touched = photo.copy()
        touched.putpixel((1, 1), tuple(255 - value for value in touched.getpixel((1, 1))))
        [match, *_] = index.find(touched, LEAST)
        assert match.image == number
        assert not match.exact


def test_images_of_one_colour_are_the_same_only_if_their_pixels_are():
    built = index_of([Image.new("RGB", (64, 48), "white"), Image.new("RGB", (64, 48), "grey")])
    assert found(built, Image.new("RGB", (64, 48), "white")) == [0]
    assert found(built, Image.new("RGB", (48, 64), "white")) == []
    assert found(built, Image.new("RGB", (64, 48), (254, 255, 255))) == []
    assert found(built, Image.new("RGB", (1, 1))) == []


def test_an_index_on_the_disk_finds_the_same(photos, index, tmp_path):
    index.save(tmp_path)
    loaded = ImageIndex.load(tmp_path)
    for number, photo in enumerate(photos[:5]):
        changed = CHANGES["0 to 20% off each side"](photo, seeded(number))
        assert loaded.find(changed, LEAST) == index.find(changed, LEAST) != []
        assert loaded.find(photo, LEAST) == index.find(photo, LEAST)
