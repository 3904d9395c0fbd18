"""Rows of MM-RLHF."""

import pytest
from support.sources import build, published, read, refused

from r1reward.core.errors import ConfigError
from r1reward.core.pair import Media

RANKED = {
    "id": "31",
    "question": "Where?",
    "image": "long/31.png",
    "video": None,
    "models_output": ["second", "best", "also second", "last"],
    "faithfulness": [3, 5, 3, 1],
    "helpfulness": [3, 5, 3, 1],
    "ethical": [3, 3, 3, 3],
    "final_ranking": [2, 1, 2, 4],
}


def test_mm_rlhf_rankings_become_all_pairs_by_default():
    found = read("mm_rlhf", RANKED)
    assert {one.preference.responses for one in found} == {
        ("best", "second"),
        ("best", "also second"),
        ("best", "last"),
        ("second", "last"),
        ("also second", "last"),
    }
    assert len(found) == 5
    assert {one.preference.source for one in found} == {"mm_rlhf_long"}
    assert {one.origin for one in found} >= {"31:1>0", "31:2>3"}
    assert all(one.preference.media == (Media("image", "long/31.png"),) for one in found)
    [extreme] = read("mm_rlhf", RANKED, pairs="best_worst")
    assert extreme.preference.responses == ("best", "last")


def test_mm_rlhf_pairs():
    row = {"prompt": "Where?", "chosen": "Here.", "rejected": "There.", "image": "./mcq/1.png"}
    [found] = read("mm_rlhf", row)
    image = (Media("image", "./mcq/1.png"),)
    assert found == published("Where?", "Here.", "There.", image, "mm_rlhf_mcq", "")


def test_mm_rlhf_takes_the_subsets_it_is_asked_for():
    clip = RANKED | {"image": None, "video": "video/clip"}
    assert refused("mm_rlhf", clip) == ("subset", "video/clip: of video, not asked for")
    found = read("mm_rlhf", clip, subsets=["video"])
    assert found[0].preference.media == (Media("video", "video/clip"),)
    assert found[0].preference.source == "mm_rlhf_video"
    assert refused("mm_rlhf", RANKED, subsets=["video"])[0] == "subset"
    assert refused("mm_rlhf", RANKED | {"image": "elsewhere/1.png"})[0] == "subset"
    with pytest.raises(ConfigError, match="films is none of long"):
        build("mm_rlhf", subsets=["long", "films"])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"final_ranking": [1, 1, 1, 1]}, "tie"),
        ({"final_ranking": [1, 2]}, "schema"),
        ({"final_ranking": None}, "schema"),
        ({"models_output": "text"}, "schema"),
        ({"image": None}, "media"),
        ({"question": ""}, "text"),
    ],
)
def test_rankings_that_say_nothing_are_dropped_by_reason(fields, reason):
    assert refused("mm_rlhf", RANKED | fields)[0] == reason


def test_an_answer_without_rank_is_named_and_in_no_pair():
    *errors, pair = read("mm_rlhf", RANKED | {"final_ranking": [None, 1, "x", 2]})
    assert [one.reason for one in errors] == ["score", "score"]
    assert pair.preference.responses == ("best", "last")
