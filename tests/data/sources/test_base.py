"""Images in the forms that published sets have, and pairs of ranked answers."""

import pytest
from support.sources import BASE64, JPEG, build

from r1reward.core.errors import ConfigError
from r1reward.core.pair import Media
from r1reward.data.sources.base import SourceError, images, ranked


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("", []),
        ([], []),
        ("a/b.jpg", [Media("image", "a/b.jpg")]),
        ("/9j/photos/cat.jpg", [Media("image", "/9j/photos/cat.jpg")]),
        (["a.jpg", "b.jpg"], [Media("image", "a.jpg"), Media("image", "b.jpg")]),
        (JPEG, [Media.embedded(JPEG)]),
        ({"bytes": JPEG, "path": None}, [Media.embedded(JPEG)]),
        ({"bytes": JPEG, "path": "x.jpg"}, [Media.embedded(JPEG)]),
        ({"bytes": None, "path": "x.jpg"}, [Media("image", "x.jpg")]),
        (BASE64, [Media.embedded(JPEG)]),
        (f"\n{BASE64[:50]}\r\n {BASE64[50:]}\n".lstrip(), [Media.embedded(JPEG)]),
        (f"data:image/jpeg;base64,{BASE64[:9]} \n{BASE64[9:]}", [Media.embedded(JPEG)]),
    ],
)
def test_an_image_is_a_path_or_the_file_itself(value, expected):
    assert images(value) == tuple(expected)


@pytest.mark.parametrize(
    "value",
    [
        7,
        " ",
        {},
        {"path": 3},
        {"bytes": "text"},
        [None, 5],
        "data:text/html;base64,AAAA",
        "data:image/png;base64,###",
        "data:image/png,abc",
        "a\ud800.jpg",
    ],
)
def test_what_is_no_image_is_refused(value):
    with pytest.raises(SourceError) as raised:
        images(value)
    assert raised.value.reason == "media"


@pytest.mark.parametrize(
    ("scores", "every", "extreme"),
    [  # position -> score; pairs worked out by hand
        ({0: 1, 1: 2}, {(1, 0)}, (1, 0)),
        ({0: 3, 1: 1, 2: 2}, {(0, 1), (0, 2), (2, 1)}, (0, 1)),
        ({0: 2, 1: 2, 2: 1, 3: 1}, {(0, 2), (0, 3), (1, 2), (1, 3)}, (0, 2)),
        ({1: 5, 3: 5, 4: 4.5}, {(1, 4), (3, 4)}, (1, 4)),
    ],
)
def test_answers_with_different_scores_are_pairs(scores, every, extreme):
    found = ranked(scores, "all")
    assert set(found) == every
    assert len(found) == len(every)
    assert ranked(scores, "best_worst") == [extreme]


@pytest.mark.parametrize("scores", [{}, {0: 1}, {0: 2, 1: 2, 2: 2}])
def test_answers_of_one_score_are_a_tie(scores):
    for pairing in ("all", "best_worst"):
        with pytest.raises(SourceError) as raised:
            ranked(scores, pairing)
        assert raised.value.reason == "tie"


@pytest.mark.parametrize("name", ["vlfeedback", "mm_rlhf"])
def test_an_unknown_pairing_is_refused(name):
    with pytest.raises(ConfigError, match=r"source\.pairs=some: take all or best_worst"):
        build(name, pairs="some")
