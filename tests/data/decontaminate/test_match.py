"""Which images and prompts make a record a copy."""

import shutil

import pytest
from PIL import Image
from support.decontaminate import LONG, PHOTOS, RULES, STOCK, record

from r1reward.core.media import ImageError
from r1reward.core.pair import Media
from r1reward.data.decontaminate.match import Rules, Screen
from r1reward.data.decontaminate.references import (
    Reference,
    UnusableReferenceError,
    index_references,
)
from r1reward.tools.bench.planted import CHANGES, seeded


@pytest.fixture
def shown(tmp_path):
    """Photos of the embedded set, as files of a benchmark and of a training set."""
    names = ("tools-hammer1", "tools-hammer5", "others-knife", "others-pencil")
    for name in names:
        image = Image.open(PHOTOS / "images" / f"categorization-{name}.webp")
        image.save(tmp_path / f"{name.partition('-')[2]}.png")
    frames = tmp_path / "video"
    frames.mkdir()
    shutil.copy(tmp_path / "pencil.png", frames / "frame_1.png")
    return tmp_path


@pytest.fixture
def screen(shown):
    """Compares with three items: a hammer and a stock question, a knife and a long one, a video."""

    def build(**rules):
        items = [
            ("a", 0, STOCK, Media("image", "hammer1.png")),
            ("a", 1, LONG, Media("image", "knife.png")),
            ("b", 0, "What is this?", Media("video", "video")),
        ]
        references = [
            Reference(name, index, f"{name}-{index}", question, (media,), str(shown))
            for name, index, question, media in items
        ]
        chosen = Rules(**{f: rules.get(f, getattr(RULES, f)) for f in Rules.__slots__})
        folder = shown / "-".join(["index", *map(str, rules.values())])
        folder.mkdir()
        index_references(references, folder, chosen.images, 1, lambda _: None)
        return Screen(folder, chosen)

    return build


def reasons(screen, record, root):
    return [(match.reason, match.benchmark, match.index) for match in screen.matches(record, root)]


def test_an_image_or_a_specific_prompt_suffices(screen, shown):
    either = screen()
    assert either.specific() == {"a": 1, "b": 0}
    cases = [
        (record(STOCK), []),
        (record(LONG), [("exact_prompt", "a", 1)]),
        (record(f"Please answer: {LONG}"), [("near_prompt", "a", 1)]),
        (record("Is it heavy?", "hammer1.png"), [("exact_image", "a", 0)]),
        (record(STOCK, "hammer1.png"), [("exact_image", "a", 0), ("exact_prompt", "a", 0)]),
        (record(STOCK, "hammer5.png"), []),
        (record(LONG, "hammer1.png"), [("exact_image", "a", 0), ("exact_prompt", "a", 1)]),
        (record("Is it sharp?", "hammer5.png", "pencil.png"), [("exact_image", "b", 0)]),
        (record("Is it sharp?", "video", kind="video"), [("exact_image", "b", 0)]),
    ]
    for given, wanted in cases:
        assert reasons(either, given, shown) == wanted


def test_both_must_be_of_one_item(screen, shown):
    both = screen(drop="both")
    cases = [
        (record(LONG), []),
        (record("Is it heavy?", "hammer1.png"), []),
        (record(LONG, "hammer1.png"), []),
        (record(STOCK, "hammer1.png"), [("exact_image", "a", 0), ("exact_prompt", "a", 0)]),
        (
            record("What is this?", "pencil.png"),
            [("exact_image", "b", 0), ("exact_prompt", "b", 0)],
        ),
    ]
    for given, wanted in cases:
        assert reasons(both, given, shown) == wanted


def test_without_images_specific_prompts_alone(screen, shown):
    texts = screen(images=False)
    assert reasons(texts, record("Is it heavy?", "hammer1.png"), shown) == []
    assert reasons(texts, record(LONG, "missing.png"), shown) == [("exact_prompt", "a", 1)]


def test_a_changed_image_is_near(screen, shown):
    change = CHANGES["0 to 10% off, 50%, JPEG 60"]
    change(Image.open(shown / "knife.png"), seeded(1)).save(shown / "new.png")
    [match] = screen().matches(record("Is it sharp?", "new.png"), shown)
    assert (match.reason, match.benchmark, match.id) == ("near_image", "a", "a-1")
    assert match.uri == "knife.png"
    assert 0.9 <= match.similarity < 1


def test_an_image_that_cannot_be_opened_is_an_error(screen, shown):
    (shown / "half.png").write_bytes((shown / "knife.png").read_bytes()[:2000])
    for uri, words in (("half.png", "damaged"), ("none.png", "no such image")):
        with pytest.raises(ImageError, match=words):
            screen().matches(record(LONG, uri), shown)
        shutil.rmtree(shown / "index")
    reference = Reference("a", 4, "a-4", LONG, (Media("image", "half.png"),), str(shown))
    with pytest.raises(UnusableReferenceError, match=r"a, row 5 \(a-4\): .*half\.png: damaged"):
        index_references([reference], shown, True, 1, lambda _: None)
