"""Parts of a mix share no image and no question."""

import pytest
from support.mix import HALVES, row, solved, tangled, unsolved

from r1reward.data.mix.select import MixError, Selection


def shared_keys(item):
    words = item["question"].lower().replace("<image>", "").strip(" .?").split()
    return {" ".join(words)} | {media["bytes"] for media in item["media"]}


@pytest.mark.parametrize("seed", range(3))
def test_parts_share_no_image_and_no_question(write, made, seed):
    rows = list(tangled(400, seed))
    parts, _, result = made(write(rows), split={"a": 0.6, "b": 0.3, "c": 0.1}, seed=seed)
    keys = [set().union(*map(shared_keys, part)) for part in parts.values()]
    assert sum(map(len, keys)) == len(set().union(*keys))
    assert sum(map(len, parts.values())) == 400
    assert "are one group" in result.notes[0]  # a walk from record to record reaches most


def test_parts_have_their_shares_where_little_is_shared(write, made):
    rows = [row(n, image=f"image {n // 2}") for n in range(2000)]
    parts, _, result = made(write(rows), split={"train": 0.9, "validation": 0.1})
    # 1000 pairs, each in validation with probability 0.1: 100, standard deviation 9.5.
    assert 2 * 65 <= len(parts["validation"]) <= 2 * 135
    assert not result.notes


def test_a_stock_question_ties_no_images_together(write, made):
    rows = [row(n, question="Describe the image.", image=f"{n // 2}") for n in range(40)]
    rows += [row(n, question="Tell a joke.") for n in range(40, 60)]  # without an image
    rows += [row(n, question=f"Why {n // 3}?", image=f"{n}") for n in range(60, 90)]
    with pytest.raises(MixError, match="stock_questions=10"):
        made(write(rows[:40], "stock"), split=HALVES)
    parts, _, _ = made(write(rows), split=HALVES, stock=10)
    where = {item["responses"][1]: name for name, part in parts.items() for item in part}
    place = [where[f"No {n}."] for n in range(90)]
    assert all(place[n] == place[n + 1] for n in range(0, 40, 2))
    assert len(set(place[:40])) == 2
    assert len(set(place[40:60])) == 1
    assert all(len(set(place[n : n + 3])) == 1 for n in range(60, 90, 3))


def test_two_mixes_of_one_set_agree_about_parts(write, made):
    rows = [
        row(n, image=f"{n // 3}", **(solved(1), solved(2), unsolved())[n % 3]) for n in range(300)
    ]
    data = write(rows)
    sft, _, _ = made(data, split=HALVES, select=Selection(unsolved=False, reasoning=True))
    rl, _, _ = made(data, split=HALVES, select=Selection(attempts=(2, 127)))
    images = [{i["media"][0]["bytes"] for i in part} for part in (sft["one"], rl["two"])]
    assert images[0]
    assert not images[0] & images[1]
