"""The examples: short, and each of them runs on a CPU as its first lines say."""

import json
import os
import re
import subprocess
import sys

import pytest
from hydra.utils import instantiate
from support.chat_server import ChatServer

from r1reward.config.compose import REPO, compose_config
from r1reward.consistency.base import Agreement
from r1reward.core.verdict import parse_verdict

EXAMPLES = REPO / "examples"


def run(*command, cwd):
    """Run Python from a folder elsewhere; return what it prints."""
    paths = os.pathsep.join(map(str, (EXAMPLES, REPO)))
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_listed(path) -> None:
    assert len(path.read_text().splitlines()) <= 40
    assert f"]({path.name})" in (EXAMPLES / "README.md").read_text()


def test_a_pair_is_judged_in_both_orders(tmp_path) -> None:
    said, *orders = run(EXAMPLES / "judge_pair.py", cwd=tmp_path).splitlines()
    choices = [int(re.search(r"choice=([12])", order)[1]) for order in orders]
    assert len(choices) == 2
    agreed = choices[0] == choices[1]
    expected = f"better: response {choices[0]}" if agreed else "the two orders disagree"
    assert said == expected


def test_a_reward_of_your_own_pays_for_few_words(tmp_path) -> None:
    rewards = [
        float(line.split()[0])
        for line in run(EXAMPLES / "own_reward.py", cwd=tmp_path).splitlines()
    ]
    # 2 for a right, consistent answer in format; 0.5 * (1 - words / 40) for 6, 60 and no words.
    assert rewards == pytest.approx([2 + 0.5 * 34 / 40, 2.0, 2.5], abs=0.01)


def test_training_takes_that_reward(monkeypatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    cfg = compose_config(["reward.function._target_=own_reward.BriefReward", "cluster=cpu"])
    reward = instantiate(cfg.reward.function)
    wrong = parse_verdict("<think>Two.</think><answer>2</answer>")
    for verdict, final in ((wrong, 0.5), (parse_verdict("nothing"), 0.0)):
        parts = reward.score(verdict, 1, Agreement(consistent=True))
        assert (parts.final, parts.further) == (final, {"brief": 0.0})


@pytest.mark.slow
def test_a_training_run_learns_from_that_reward(tmp_path) -> None:
    overrides = ["reward.function._target_=own_reward.BriefReward", "debug=fast", "cluster=cpu"]
    overrides.append("data.max_response_length=64")  # the tiny model's answers fit
    run("-m", "r1reward.train", *overrides, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    rows = [
        json.loads(line)
        for file in sorted((tmp_path / "run" / "rollouts").glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    assert any(row["brief"] > 0 for row in rows)
    for row in rows:
        assert 0 <= row["brief"] <= row["acc"]
        plain = row["acc"] * (1 + 0.5 * row["consistency"]) + 0.5 * row["format"]
        assert row["score"] == pytest.approx(plain + 0.5 * row["brief"])


def test_an_endpoint_is_evaluated(tmp_path) -> None:
    answer = "<think>The first one.</think><answer>1</answer>"  # in both orders: never agrees
    with ChatServer("say", text=answer) as server:
        said = run(EXAMPLES / "evaluate_endpoint.py", server.url, "judge", 3, cwd=tmp_path)
        assert server.count == 6
        images = [
            part["type"] for body in server.bodies for part in body["messages"][-1]["content"]
        ]
    assert said.strip() == "3 pairs: both orders agree on 0, right in 0 (0.0%)"
    assert images.count("image_url") == 6
