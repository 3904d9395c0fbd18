"""Rows of VLFeedback."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.sources import JPEG, build, read, refused

from r1reward.core.pair import Media
from r1reward.core.rows import cut, read_unit
from r1reward.data.sources.base import SourceError


def completion(response, *ratings):
    aspects = ("Helpfulness", "Visual Faithfulness", "Ethical Considerations")
    rated = zip(aspects, ratings, strict=True)
    annotations = {aspect: {"Rating": rating, "Rationale": "so"} for aspect, rating in rated}
    return {"annotations": annotations, "model": "m", "response": response}


FEEDBACK = {
    "id": "svit-1",
    "prompt": "Where?",
    "models": ["a", "b", "c", "d"],
    "completions": [
        completion("three", "3", "4", "2"),
        completion("five", "5", "5", "5"),
        completion("four", "2", "5", "5"),
        completion("three again", "1", "5", "3"),
    ],
}


def test_vlfeedback_pairs_all_answers_with_different_means():
    found = read("vlfeedback", FEEDBACK, pairs="all")
    assert {one.preference.responses for one in found} == {
        ("five", "four"),
        ("five", "three"),
        ("five", "three again"),
        ("four", "three"),
        ("four", "three again"),
    }
    assert len(found) == 5
    assert {one.origin for one in found} >= {"svit-1:1>2", "svit-1:2>0"}
    assert all(one.preference.media == (Media("image", "svit-1.jpg"),) for one in found)
    assert {one.preference.source for one in found} == {"vlfeedback"}


def test_vlfeedback_pairs_the_best_and_the_worst_by_default():
    [found] = read("vlfeedback", FEEDBACK)
    assert (found.preference.responses, found.origin) == (("five", "three"), "svit-1:1>0")


def test_vlfeedback_in_parquet_is_the_same(tmp_path):
    """A sequence of structs is one struct of lists there, and the image is inside."""
    columns = {
        key: [one[key] for one in FEEDBACK["completions"]]
        for key in ("annotations", "model", "response")
    }
    row = FEEDBACK | {"completions": columns, "image": {"bytes": JPEG, "path": None}}
    for number, one in enumerate((row, FEEDBACK | {"image": {"bytes": JPEG, "path": None}})):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.Table.from_pylist([one]), path)
        [(_, found)] = read_unit(cut(path)[0])
        pairs = read("vlfeedback", found, pairs="all")
        expected = read("vlfeedback", FEEDBACK, pairs="all")
        assert [one.preference.responses for one in pairs] == [
            one.preference.responses for one in expected
        ]
        assert pairs[0].preference.media == (Media.embedded(JPEG),)


def test_vlfeedback_answers_without_a_score_are_named_and_in_no_pair():
    others = [completion("?", "3", "N/A", "5"), completion(" ", "1", "1", "1")]
    row = FEEDBACK | {"completions": [*FEEDBACK["completions"][:2], *others]}
    *errors, pair = read("vlfeedback", row, pairs="all")
    assert [(one.reason, str(one)) for one in errors] == [
        ("score", "completion 2: Visual Faithfulness='N/A'; expected a number"),
        ("text", "completion 3: response=' '; expected a text that is not empty"),
    ]
    assert pair.preference.responses == ("five", "three")


@pytest.mark.parametrize(
    "completions",
    [
        None,
        "text",
        [1],
        [{"response": "a"}],
        {"response": ["a"]},
        {"annotations": [], "response": 1},
    ],
)
def test_vlfeedback_of_another_shape_is_refused(completions):
    assert refused("vlfeedback", FEEDBACK | {"completions": completions})[0] == "schema"


@pytest.mark.parametrize("rating", ["nan", "inf", None, True, "4 of 5"])
def test_a_rating_is_a_number(rating):
    row = FEEDBACK | {"completions": [completion("a", rating, "1", "1")]}
    source = build("vlfeedback")
    found = source.read(row)
    assert next(found).reason == "score"
    with pytest.raises(SourceError):
        next(found)
