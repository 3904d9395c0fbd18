"""Scores against the official scorers, on thousands of random runs."""

import random
from dataclasses import replace

import pytest
from support import eval_oracles as oracles
from support.scoring import MMRB, MMRLHF, PLAIN, VLRB, cast, grouping, item, pooled, values

from r1reward.eval.score.scoring import score


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
