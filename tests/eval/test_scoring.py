"""Scores against the official scorers, brute force and numbers worked by hand."""

import collections
import itertools
import json
import random
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import eval_oracles as oracles

from r1reward.config.compose import REPO
from r1reward.core.intervals import wilson_interval
from r1reward.core.record import Record
from r1reward.core.verdict import ParseFailure, Verdict
from r1reward.eval.benchmarks.mmrlhf_rewardbench import MMRLHFRewardBench
from r1reward.eval.benchmarks.multimodal_rewardbench import MultimodalRewardBench
from r1reward.eval.benchmarks.photos import Photos
from r1reward.eval.benchmarks.vlrewardbench import VLRewardBench
from r1reward.eval.score.ballots import Ballot, BallotError, count, expected
from r1reward.eval.score.intervals import macro_rate, paired, rates
from r1reward.eval.score.scoring import SCHEMA, item_scores, score
from r1reward.judge.item import Item
from r1reward.judge.protocol import Protocol

PHOTOS = Photos(REPO / "recipes" / "photos")
VLRB, MMRLHF, MMRB = VLRewardBench("x"), MMRLHFRewardBench("x"), MultimodalRewardBench("x")
PLAIN = Protocol(
    name="test",
    order="both",
    parse="wrong",
    seed=0,
    votes=1,
    temperature=1.0,
    top_p=1.0,
    repetition_penalty=1.0,
    max_tokens=10,
)
PARSE = ("wrong", "exclude", "coin", "half")


@pytest.fixture
def few_samples(monkeypatch):
    """Intervals are not the matter here: make them cheap."""
    monkeypatch.setattr("r1reward.eval.score.intervals._REPLICATES", 3)


def item(index=0, *, place=None, label=1, cluster=None):
    record = Record(f"Question {index}?", ("left", "right"), label, (), "bench")
    groups = place.groups if place else {"official": "g"}
    id, subgroup = (place.id, place.subgroup) if place else (f"id{index}", "g")
    return Item(record, index, id, groups, subgroup, cluster or id)


def verdict(vote, label):
    """A right ("r"), wrong ("w") or unreadable (None) answer where the better is ``label``."""
    if vote is None:
        return ParseFailure("no_answer", "text")
    return Verdict(label if vote == "r" else 3 - label, "because", True)


def cast(one, protocol, votes):
    """The ballots of an item; ``votes`` maps the position of the better response to votes."""
    return [
        Ballot(call.item, tuple(verdict(vote, label) for vote in votes[label]))
        for call in protocol.calls(one)
        for label in [call.item.record.label]
    ]


def pooled(one, protocol, votes):
    """The ballots of an item whose votes are one list, dealt to its prompts in turn."""
    rest = iter(votes)
    dealt = {
        at: list(itertools.islice(rest, many)) for at, many in sorted(protocol.plan(one).items())
    }
    return cast(one, protocol, dealt)


def values(metrics):
    return {one.name: one.accuracy.value for one in metrics}


def grouping(result, name):
    return next(one for one in result.groupings if one.name == name)


# --- the official scorers, on thousands of random runs


@pytest.mark.parametrize("votes", [1, 2, 3, 5, 9])
def test_vl_rewardbench_is_the_official_scorer(votes, few_samples):
    rng = random.Random(votes)
    protocol = replace(PLAIN, order="random", parse="exclude", votes=votes)
    prefixes = ["hallucination_pair-", "RLAIF-V-", "wildvision-battle-", "svit-", "mathverse_"]
    for _ in range(250):
        places = [VLRB.place({"id": f"{rng.choice(prefixes)}{n}"}) for n in range(12)]
        weights = (rng.random(), rng.random(), 0.3 * rng.random() / votes)
        pool = [rng.choices(["agree", "reject", None], weights, k=votes) for _ in places]
        ballots = [
            ballot
            for n, (place, drawn) in enumerate(zip(places, pool, strict=True))
            for ballot in pooled(
                item(n, place=place, label=rng.choice([1, 2])),
                protocol,
                [{"agree": "r", "reject": "w", None: None}[one] for one in drawn],
            )
        ]
        rng.shuffle(ballots)
        result = score(ballots, protocol, VLRB)
        official = grouping(result, "official")
        groups, overall, macro = oracles.vl_rewardbench(
            pool, [place.groups["official"] for place in places]
        )
        assert values(official.groups) == pytest.approx(groups)
        assert result.overall.accuracy.value == official.micro.value == pytest.approx(overall)
        assert official.macro.value == pytest.approx(macro)


def test_multimodal_rewardbench_is_the_official_scorer(few_samples):
    rng = random.Random(0)
    protocol = replace(PLAIN, order="stored", parse="coin", seed=123)
    kinds = [
        ("nocaps_", "open_generation/correctness_task", "correctness"),
        ("visitbench_", "open_generation/preference_task", "preference"),
        ("mmmu-s_", "knowledge", "knowledge"),
        ("mathvista_", "reasoning", "reasoning/math"),
        ("EMMA-Coding_", "reasoning", "reasoning/coding"),
        ("pairs_", "safety", "safety/bias"),
        ("memes_", "safety", "safety/toxicity"),
        ("MMBench_", "vqa", "vqa"),
    ]
    names = {category: subgroup for _, category, subgroup in kinds if "/" not in subgroup}
    for _ in range(1000):
        rows, ballots, broken = [], [], rng.random()
        for n in range(14):
            prefix, category, _ = rng.choice(kinds)
            label = rng.choice([1, 2])
            vote = None if rng.random() < broken else rng.choice(["r", "w"])
            said = {"r": "AB"[label - 1], "w": "BA"[label - 1]}.get(vote)
            rows.append((f"{prefix}{n}", category, "AB"[label - 1], f"[[{said}]]" if said else "?"))
            place = MMRB.place({"ID": f"{prefix}{n}", "Category": category})
            ballots += cast(item(n, place=place, label=label), protocol, {label: [vote]})
        rng.shuffle(ballots)
        result = score(ballots, protocol, MMRB)
        official = oracles.multimodal_rewardbench(rows)
        assert result.overall.accuracy.value == pytest.approx(official.pop("all"))
        assert values(result.subgroups) == pytest.approx(
            {names.get(key, key): value for key, value in official.items()}
        )


def test_mmrlhf_rewardbench_is_the_official_scorer(few_samples):
    rng = random.Random(0)
    protocol = replace(PLAIN, order="stored")
    paths = {f"{kind}-{n}": f"{kind}/{n}.png" for kind in ("mcq", "long", "short") for n in (1, 2)}
    paths |= {"safety-1": "safety/1.png", "video-1": "video/v"}
    for _ in range(700):
        skill, rows, ballots = rng.random() ** 0.3, [], []
        for n in range(18):
            name = rng.choice(list(paths))
            vote = "r" if rng.random() < skill else rng.choice(["w", None])
            rows.append((name, paths[name], vote == "r"))
            place = MMRLHF.place({"id": name, "image": paths[name]})
            ballots += cast(item(n, place=place), protocol, {1: [vote]})
        result = score(ballots, protocol, MMRLHF)
        accuracy, plus = oracles.mmrlhf_rewardbench(rows)
        metrics = (result.overall, *grouping(result, "official").groups)
        names = {"overall": "all"}
        found = {names.get(one.name, one.name): one for one in metrics}
        assert {key: one.accuracy.value for key, one in found.items()} == pytest.approx(accuracy)
        assert {key: one.acc_plus.value for key, one in found.items()} == pytest.approx(plus)
        assert result.overall.acc_plus.n == len({name for name, *_ in rows})


def test_the_released_scorer_is_the_compat_grouping(few_samples):
    rng = random.Random(0)
    protocol = replace(PLAIN, order="chosen_first")
    for _ in range(500):
        ids = [rng.choice(oracles.VLRB_IDS) for _ in range(15)]
        votes = [rng.choice(["r", "w", None]) for _ in ids]
        ballots = [
            ballot
            for n, (one, vote) in enumerate(zip(ids, votes, strict=True))
            for ballot in cast(item(n, place=VLRB.place({"id": one})), protocol, {1: [vote]})
        ]
        result = grouping(score(ballots, protocol, VLRB), "r1_reward_compat")
        rewards = [[1, 0] if vote == "r" else [0, 1] for vote in votes]
        groups, overall, macro = oracles.released_vl_rewardbench(zip(ids, rewards, strict=True))
        assert values(result.groups) == pytest.approx(groups)
        assert result.micro.value == pytest.approx(overall)
        assert result.macro.value == pytest.approx(macro)


def test_the_papers_row_comes_out_of_its_counts():
    """Table 3: 309/484, 384/448, 206/318 are 63.84, 85.71, 64.78; overall 71.92, macro 71.44."""
    protocol = replace(PLAIN, order="chosen_first")
    right = {"general": 309, "hallucination": 384, "reasoning": 206}
    ballots = []
    for n, one in enumerate(oracles.VLRB_IDS):
        place = VLRB.place({"id": one})
        group = place.groups["r1_reward_compat"]
        ballots += cast(item(n, place=place), protocol, {1: ["r" if right[group] > 0 else "w"]})
        right[group] -= 1
    result = grouping(score(ballots, protocol, VLRB), "r1_reward_compat")
    percent = {one.name: round(100 * one.accuracy.value, 2) for one in result.groups}
    assert percent == {"general": 63.84, "hallucination": 85.71, "reasoning": 64.78}
    assert round(100 * result.micro.value, 2) == 71.92
    assert 100 * result.macro.value == pytest.approx(71.44, abs=0.01)  # 71.4457: cut, not rounded


# --- judges whose numbers are known


def judged(benchmark, protocol, choose):
    """The score of a judge: ``choose`` takes the shown item and returns 1, 2 or None."""
    ballots = []
    for one in benchmark.load():
        for call in protocol.calls(one):
            choice = choose(call.item)
            vote = Verdict(choice, "", True) if choice else ParseFailure("empty", "")
            ballots.append(Ballot(call.item, (vote,) * call.votes))
    return score(ballots, protocol, benchmark)


def test_always_one_is_half_right_and_never_consistent():
    overall = judged(PHOTOS, PLAIN, lambda shown: 1).overall
    assert overall.accuracy.value == 0.5
    assert overall.consistent.value == 0.0
    assert overall.first_position.value == 1.0
    assert overall.flips.value == 1.0
    assert (overall.accuracy_first.value, overall.accuracy_second.value) == (1.0, 0.0)
    low, high = overall.consistent.interval.low, overall.consistent.interval.high
    assert low == 0.0
    assert high < 0.15


def test_chosen_first_flatters_always_one_and_says_so():
    result = judged(PHOTOS, replace(PLAIN, order="chosen_first"), lambda shown: 1)
    assert result.overall.accuracy.value == result.preferred_first == 1.0
    assert result.overall.consistent is result.overall.flips is None
    assert any("always says 1" in warning for warning in result.warnings)


def test_an_even_stored_order_needs_no_warning_a_one_sided_one_does():
    protocol = replace(PLAIN, order="stored")
    even = judged(PHOTOS, protocol, lambda shown: 1)
    assert (even.preferred_first, even.warnings) == (0.5, ())
    ballots = [Ballot(item(n, label=1 + (n == 0)), (Verdict(1, "", True),)) for n in range(250)]
    [warning] = score(ballots, protocol, VLRB).warnings
    assert "99.6%" in warning


def test_the_perfect_judge_is_perfect():
    result = judged(PHOTOS, PLAIN, lambda shown: shown.record.label)
    overall = result.overall
    assert overall.accuracy.value == overall.consistent.value == 1.0
    assert (overall.flips.value, overall.first_position.value) == (0.0, 0.5)
    assert (overall.items, overall.clusters) == (204, 41)
    assert overall.accuracy.interval.low == pytest.approx(wilson_interval(41, 41)[0])
    assert len(grouping(result, "official").groups) == 6


def test_a_mute_judge_is_wrong_and_counted():
    result = judged(PHOTOS, replace(PLAIN, votes=3), lambda shown: None)
    assert result.overall.accuracy.value == 0.0
    assert result.overall.parse_failures.value == 1.0
    assert result.failures == {"empty": 204 * 2 * 3}
    assert result.overall.first_position.value is result.overall.flips.value is None
    left_out = judged(PHOTOS, replace(PLAIN, parse="exclude"), lambda shown: None)
    assert left_out.overall.accuracy.value is None
    assert left_out.excluded == 204
    assert any("204 of 204" in warning for warning in left_out.warnings)


# --- every number of a small run, worked by hand

HAND = {  # index: cluster, group, vote with the better first, vote with the better second
    0: ("a", "x", "r", "r"),
    1: ("a", "x", "r", "w"),
    2: ("b", "x", "w", None),
    3: ("b", "y", "r", "r"),
    4: ("c", "y", None, "r"),
    5: ("d", "y", "w", "w"),
}


def hand(parse):
    protocol = replace(PLAIN, parse=parse)
    ballots = []
    for index, (cluster, group, first, second) in HAND.items():
        one = replace(item(index, cluster=cluster), groups={"official": group})
        ballots += cast(one, protocol, {1: [first], 2: [second]})
    return score(ballots, protocol, MMRLHF)


@pytest.mark.parametrize(
    ("parse", "accuracy", "first", "second", "consistent", "plus", "consistent_plus"),
    [
        # items 1, 1/2, 0, 1, 1/2, 0; clusters right: first a, second c
        ("wrong", 3 / 6, 3 / 6, 3 / 6, 2 / 6, (0.5 + 0 + 0.5 + 0) / 4, 0 / 4),
        # items 1, 1/2, 0, 1, 1, 0; b and c lose an order
        ("exclude", 3.5 / 6, 3 / 5, 3 / 5, 2 / 4, (0.5 + 0.5 + 1 + 0) / 4, 1 / 4),
        # items 1, 1/2, 1/4, 1, 3/4, 0; half right is not right
        ("half", 3.5 / 6, 3.5 / 6, 3.5 / 6, 2 / 6, (0.5 + 0 + 0.5 + 0) / 4, 0 / 4),
    ],
)
def test_rates_by_hand(parse, accuracy, first, second, consistent, plus, consistent_plus):
    overall = hand(parse).overall
    found = [
        overall.accuracy,
        overall.accuracy_first,
        overall.accuracy_second,
        overall.consistent,
        overall.acc_plus,
        overall.consistent_plus,
    ]
    assert [rate.value for rate in found] == pytest.approx(
        [accuracy, first, second, consistent, plus, consistent_plus]
    )
    # Of 10 readable votes, r first and w second choose position 1: items 0, 1, 3 and 1, 5.
    assert overall.first_position.value == 5 / 10
    assert overall.flips.value == 1 / 4  # of items 0, 1, 3 and 5, item 1
    assert overall.parse_failures.value == 2 / 12
    assert hand(parse).failures == {"no_answer": 2}


def test_micro_and_macro_by_hand():
    [official] = hand("wrong").groupings
    assert values(official.groups) == pytest.approx({"x": 1.5 / 3, "y": 1.5 / 3})
    [official] = hand("exclude").groupings
    assert values(official.groups) == pytest.approx({"x": 1.5 / 3, "y": 2 / 3})
    assert official.micro.value == pytest.approx(3.5 / 6)
    assert official.macro.value == pytest.approx((1.5 / 3 + 2 / 3) / 2)


def test_an_item_outside_of_a_grouping_is_in_the_overall_alone():
    place = MMRB.place({"ID": "memes_1", "Category": "safety"})
    other = MMRB.place({"ID": "pairs_1", "Category": "safety"})
    protocol = replace(PLAIN, order="stored")
    ballots = cast(item(0, place=place), protocol, {1: ["r"]})
    ballots += cast(item(1, place=other), protocol, {1: ["w"]})
    result = score(ballots, protocol, MMRB)
    assert (result.overall.accuracy.value, grouping(result, "official").micro.value) == (0.5, 0.5)
    compat = grouping(result, "r1_reward_compat")
    assert (compat.micro.value, compat.macro.value, len(compat.groups)) == (0.0, 0.0, 1)


# --- votes


@pytest.mark.parametrize(
    ("votes", "wrong", "exclude", "half"),
    [
        ("rrw", 1.0, 1.0, 1.0),
        ("rww", 0.0, 0.0, 0.0),
        ("rw", 0.0, None, 0.5),
        ("rrw?", 1.0, None, 1.0),
        ("rw?", 0.0, None, 0.5),
        ("r??", 1.0, None, 1.0),
        ("w??", 0.0, None, 0.0),
        ("???", 0.0, None, 0.5),
    ],
)
def test_the_majority_of_readable_votes_decides(votes, wrong, exclude, half):
    for parse, worth in (("wrong", wrong), ("exclude", exclude), ("half", half)):
        protocol = replace(PLAIN, order="stored", parse=parse, votes=len(votes))
        ballots = cast(item(), protocol, {1: [None if v == "?" else v for v in votes]})
        assert item_scores(count(ballots, protocol)) == ({} if worth is None else {0: worth})


def test_coins_are_fair_seeded_and_tossed_for_the_undecided_alone():
    protocol = replace(PLAIN, order="stored", parse="coin", votes=2)
    ballots = [ballot for n in range(2000) for ballot in cast(item(n), protocol, {1: ["r", "w"]})]
    tossed = item_scores(count(ballots, protocol))
    assert abs(sum(tossed.values()) - 1000) < 3 * 500**0.5
    assert tossed == item_scores(count(reversed(ballots), protocol))
    assert tossed != item_scores(count(ballots, replace(protocol, seed=1)))
    ballots[5:6] = cast(item(5), protocol, {1: ["r", "r"]})
    decided = item_scores(count(ballots, protocol))
    assert decided[5] == 1.0
    assert [decided[n] for n in range(5)] == [tossed[n] for n in range(5)]


POOLS = st.integers(1, 4).flatmap(
    lambda k: st.lists(
        st.tuples(*[st.lists(st.sampled_from(["r", "w", None]), min_size=k, max_size=k)] * 2),
        min_size=1,
        max_size=4,
    )
)


@given(POOLS, st.sampled_from(PARSE), st.booleans())
def test_the_vote_curve_is_the_mean_over_all_choices_of_votes(pools, parse, both):
    k = len(pools[0][0])
    protocol = replace(PLAIN, parse=parse, votes=k, order="both" if both else "stored")
    ballots, items = [], []
    for n, (first, second) in enumerate(pools):
        ballots += cast(item(n), protocol, {1: first, 2: second})
        items.append([first, second] if both else [first])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("r1reward.eval.score.intervals._REPLICATES", 3)
        result = score(ballots, protocol, PHOTOS)
    assert [point.votes for point in result.vote_curve] == list(range(1, k + 1))
    for point in result.vote_curve:
        assert point.accuracy.value == pytest.approx(
            oracles.vote_curve(items, point.votes, parse), abs=1e-12
        )
        assert point.any_chance == 1 - 2**-point.votes
        polls = [poll for polls in items for poll in polls]
        anywhere = [
            any(vote == "r" for vote in some)
            for poll in polls
            for some in itertools.combinations(poll, point.votes)
        ]
        assert point.any_right == pytest.approx(sum(anywhere) / len(anywhere))
    if parse != "coin":
        assert result.vote_curve[-1].accuracy == result.overall.accuracy


def test_votes_drawn_in_both_orders_are_one_poll():
    protocol = replace(PLAIN, order="random", votes=9)
    one = next(one for n in range(99) if len(protocol.plan(one := item(n))) == 2)
    ballots = pooled(one, protocol, ["r"] * 4 + ["w"] * 3 + [None] * 2)
    assert len(ballots) == 2
    result = score(ballots, protocol, PHOTOS)
    assert result.overall.accuracy.value == 1.0
    assert result.vote_curve[0].accuracy.value == pytest.approx(4 / 9)
    assert result.overall.parse_failures.value == pytest.approx(2 / 9)


def test_a_coin_flippers_any_right_is_the_chance_line():
    rng, protocol = random.Random(0), replace(PLAIN, order="stored", votes=8)
    ballots = [
        ballot
        for n in range(3000)
        for ballot in cast(item(n), protocol, {1: rng.choices("rw", k=8)})
    ]
    for point in score(ballots, protocol, PHOTOS).vote_curve:
        assert point.any_right == pytest.approx(point.any_chance, abs=0.02)
        assert point.accuracy.interval.low < point.accuracy.interval.high


@given(*[st.integers(0, 8)] * 3, st.sampled_from(PARSE))
def test_more_right_votes_never_hurt(right, wrong, failed, parse):
    pool = right + wrong + failed
    for votes in range(1, pool + 1):
        credit, counted, any_right = expected(right, wrong, failed, votes, parse)
        assert 0 <= credit <= counted <= 1
        assert credit <= any_right + (parse in ("half", "coin")) + 1e-12
        if wrong:
            better = expected(right + 1, wrong - 1, failed, votes, parse)
            assert better[0] >= credit - 1e-12
            assert better[2] >= any_right


# --- properties of whole runs

RUNS = st.lists(
    st.tuples(
        st.sampled_from(["r", "w", None]),
        st.sampled_from(["r", "w", None]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([1, 2]),
    ),
    min_size=1,
    max_size=12,
)


def run(rows, protocol, flip=None):
    flip = flip or {}
    ballots = []
    for n, (first, second, cluster, label) in enumerate(rows):
        votes = {1: [flip.get(first, first)], 2: [flip.get(second, second)]}
        ballots += cast(item(n, label=label, cluster=cluster), protocol, votes)
    return ballots


@given(RUNS, st.sampled_from(PARSE), st.randoms())
def test_the_order_in_which_ballots_arrive_does_not_matter(rows, parse, rng):
    protocol = replace(PLAIN, parse=parse)
    ballots = run(rows, protocol)
    shuffled = rng.sample(ballots, len(ballots))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("r1reward.eval.score.intervals._REPLICATES", 50)
        assert score(ballots, protocol, MMRLHF) == score(shuffled, protocol, MMRLHF)


@given(RUNS)
def test_a_judge_that_says_the_opposite_has_the_opposite_accuracy(rows):
    protocol = replace(PLAIN, parse="half")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("r1reward.eval.score.intervals._REPLICATES", 3)
        one = score(run(rows, protocol), protocol, PHOTOS).overall
        two = score(run(rows, protocol, {"r": "w", "w": "r"}), protocol, PHOTOS).overall
    assert one.accuracy.value + two.accuracy.value == pytest.approx(1)
    assert one.flips == two.flips
    assert one.parse_failures == two.parse_failures


@given(RUNS, st.sampled_from(PARSE))
def test_rates_lie_in_their_intervals_and_hang_together(rows, parse):
    protocol = replace(PLAIN, parse=parse)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("r1reward.eval.score.intervals._REPLICATES", 50)
        result = score(run(rows, protocol), protocol, MMRLHF)
    overall = result.overall
    for rate in (overall.accuracy, overall.consistent, overall.flips, overall.acc_plus):
        assert (rate.value is None) == (rate.interval is None) == (rate.n == 0)
        assert rate.n == 0 or 0 <= rate.interval.low <= rate.value <= rate.interval.high <= 1
    if parse == "wrong":
        assert overall.consistent.value <= overall.accuracy.value
        assert overall.accuracy.value == pytest.approx(
            (overall.accuracy_first.value + overall.accuracy_second.value) / 2
        )
        assert overall.consistent_plus.value <= overall.acc_plus.value


def test_a_score_is_json_with_a_schema():
    result = hand("exclude")
    written = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert written["schema"] == SCHEMA == 1
    assert written["overall"]["accuracy"]["value"] == pytest.approx(3.5 / 6)
    assert written["protocol"]["parse"] == "exclude"
    assert {"name", "source", "groups", "micro", "macro"} == set(written["groupings"][0])
    assert list(written) == [
        *("schema", "benchmark", "protocol", "overall", "groupings", "subgroups", "vote_curve"),
        *("failures", "excluded", "preferred_first", "warnings"),
    ]


# --- intervals


def test_independent_items_have_wilsons_interval():
    ballots = [
        ballot
        for n in range(50)
        for ballot in cast(item(n), replace(PLAIN, order="stored"), {1: ["r" if n < 20 else "w"]})
    ]
    rate = score(ballots, replace(PLAIN, order="stored"), VLRB).overall.accuracy
    assert (rate.value, rate.n, rate.interval.method) == (0.4, 50, "wilson")
    assert (rate.interval.low, rate.interval.high) == pytest.approx(wilson_interval(20, 50))


def test_dependent_items_have_a_wider_interval():
    """100 clusters of 4 equal items: the standard error is that of 100 items, not of 400."""
    top = np.repeat([[4.0], [0.0]], 50, axis=0)
    [rate] = rates(top, np.full((100, 1), 4.0))
    assert (rate.value, rate.n, rate.interval.method) == (0.5, 400, "cluster_bootstrap")
    assert rate.interval.high - rate.interval.low == pytest.approx(2 * 1.96 * 0.05, rel=0.08)


def test_the_bootstrap_matches_one_written_by_hand():
    rng = np.random.default_rng(5)
    size = rng.integers(2, 7, 46)
    right = rng.binomial(size, rng.beta(4, 1, 46))
    [rate] = rates(right[:, None].astype(float), size[:, None].astype(float))
    drawn = []
    for _ in range(4000):
        pick = rng.integers(0, 46, 46)
        drawn.append(right[pick].sum() / size[pick].sum())
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert (rate.interval.low, rate.interval.high) == pytest.approx((low, high), abs=0.012)


def test_clustered_intervals_cover_what_wilsons_would_not(monkeypatch):
    monkeypatch.setattr("r1reward.eval.score.intervals._REPLICATES", 400)
    rng, covered, naive = np.random.default_rng(1), 0, 0
    for _ in range(200):
        skill = rng.beta(1.4, 0.6, 46)  # 0.7 on average, alike within a cluster
        right = rng.binomial(10, skill).astype(float)
        [rate] = rates(right[:, None], np.full((46, 1), 10.0))
        covered += rate.interval.low <= 0.7 <= rate.interval.high
        low, high = wilson_interval(float(right.sum()), 460)
        naive += low <= 0.7 <= high
    assert covered >= 180
    assert naive < 160


def test_the_macro_interval_covers(monkeypatch):
    monkeypatch.setattr("r1reward.eval.score.intervals._REPLICATES", 400)
    rng, skill, covered = np.random.default_rng(2), np.array([0.5, 0.7, 0.9]), 0
    bottoms = np.repeat(np.eye(3), [60, 100, 40], axis=0)
    for _ in range(200):
        tops = bottoms * rng.binomial(1, bottoms @ skill)[:, None]
        rate = macro_rate(tops.astype(float), bottoms)
        covered += rate.interval.low <= 0.7 <= rate.interval.high
    assert 180 <= covered <= 199


def test_a_sample_without_a_group_is_the_mean_of_the_others():
    right = np.repeat(np.eye(2), [10, 1], axis=0)  # the one of the small group is often not drawn
    rate = macro_rate(right, right)
    assert (rate.value, rate.interval.method) == (1.0, "wilson"), "no sample is below 1"
    assert macro_rate(right * 0, right * 0).value is None


def test_the_same_run_has_the_same_intervals():
    assert hand("wrong") == hand("wrong")


# --- two judges


def test_paired_p_values_by_hand():
    clusters = {n: str(n) for n in range(9)}
    better = dict.fromkeys(range(9), 1.0)
    worse = {n: float(n >= 5) for n in range(9)}  # five items differ, all one way: 2 / 2^5
    result = paired(better, worse, clusters)
    assert (result.n, result.difference, result.p_value) == (9, pytest.approx(5 / 9), 2 / 32)
    back = paired(worse, better, clusters)
    assert (back.difference, back.p_value) == (-result.difference, result.p_value)
    assert result.interval.low > 0 > back.interval.high
    assert paired(better, better, clusters).p_value == 1.0
    one = paired(better, worse, dict.fromkeys(range(9), "all"))
    assert one.p_value == 1.0, "one cluster is one coin"


def test_paired_takes_the_items_that_both_have():
    clusters = {n: str(n) for n in range(4)}
    result = paired({0: 1.0, 1: 0.5, 2: 0.0}, {1: 0.0, 2: 0.0, 3: 1.0}, clusters)
    assert (result.n, result.difference) == (2, 0.25)
    with pytest.raises(ValueError, match="no item in common"):
        paired({0: 1.0}, {1: 1.0}, clusters)


def test_equal_judges_differ_at_the_nominal_rate():
    rng, clusters = random.Random(3), {n: str(n // 2) for n in range(40)}
    small = 0
    for _ in range(60):
        first, second = ({n: float(rng.random() < 0.6) for n in range(40)} for _ in range(2))
        small += paired(first, second, clusters).p_value < 0.2
    assert 4 <= small <= 22  # 12 expected


# --- what is no run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda good: good[:-1], r"row 2: no ballot with the better response shown as 2"),
        (lambda good: [*good, good[0]], r"row 1, .* shown as 1: 2 votes came"),
        (lambda good: [], "no ballots"),
        (
            lambda good: [Ballot(good[0].item, good[0].votes * 2), *good[1:]],
            r"row 1, .*: 4 votes came, order=both asks once for 2",
        ),
        (
            lambda good: [*good[:3], Ballot(item(1, label=2).shown(2), good[3].votes)],
            r"row 2 came as",
        ),
    ],
)
def test_a_run_that_is_not_the_protocols_is_refused(change, message):
    protocol = replace(PLAIN, votes=2)
    good = [one for n in (0, 1) for one in cast(item(n), protocol, {1: "rr", 2: "rw"})]
    assert score(good, protocol, PHOTOS).overall.items == 2
    with pytest.raises(BallotError, match=message):
        score(change(good), protocol, PHOTOS)


def test_calls_that_failed_for_good_are_unreadable_and_counted():
    protocol = replace(PLAIN, votes=3)
    ballots = [
        Ballot(item().shown(1), (verdict("r", 1), verdict(None, 1))),
        Ballot(item().shown(2), ()),
    ]
    result = score(ballots, protocol, PHOTOS)
    assert result.failures == {"missing": 4, "no_answer": 1}
    assert result.overall.parse_failures.value == pytest.approx(5 / 6)
    assert result.overall.accuracy.value == 0.5


def test_scoring_keeps_counts_not_texts():
    def ballots():
        for n in range(1500):
            one = item(n)
            for label in (1, 2):
                yield Ballot(one.shown(label), (Verdict(1, "x" * 20_000 + str(n), True),))

    tracemalloc.start()
    counted = count(ballots(), PLAIN)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(counted.tallies) == 1500
    assert peak < 4e6, "30 MB of reasoning passed"


def test_failures_are_named():
    reasons = ["empty", "no_answer", "not_a_choice", "several_answers"]
    votes = tuple(ParseFailure(reason, "") for reason in reasons * 2)
    protocol = replace(PLAIN, order="stored", votes=8)
    result = score([Ballot(item(), votes)], protocol, PHOTOS)
    assert result.failures == collections.Counter(reasons * 2)
