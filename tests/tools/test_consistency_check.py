"""``make consistency-check``: its arithmetic, the cases that it ships, and whole runs."""

import collections
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from support.chat_server import ChatServer

from r1reward.config.compose import REPO
from r1reward.consistency.base import Agreement, Case, CheckCall
from r1reward.tools.bench.consistency import figures
from r1reward.tools.consistency_check import (
    CasesError,
    Labelled,
    agreement,
    calls,
    read_cases,
    report,
)

CASES = REPO / "recipes" / "consistency_cases" / "cases.jsonl"


def run(folder, *overrides, status=0):
    done = subprocess.run(
        [sys.executable, "-m", "r1reward.tools.consistency_check", f"run.dir={folder}", *overrides],
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def written(folder):
    return json.loads(Path(folder, "check.json").read_text())


# --- the cases


def test_the_cases_are_many_balanced_and_of_every_kind() -> None:
    cases = read_cases(CASES)
    assert len(cases) >= 100
    assert len({one.case.reasoning for one in cases}) == len(cases)
    for counted in ([one.consistent for one in cases], [one.case.answer for one in cases]):
        common, rare = (count for _, count in collections.Counter(counted).most_common())
        assert common - rare <= 4
    # No word of the check's, and no answer, is a good guess.
    for answer in (1, 2):
        share = [one.consistent for one in cases if one.case.answer == answer]
        assert 0.4 < sum(share) / len(share) < 0.6
    kinds = collections.Counter(one.kind for one in cases)
    assert min(kinds.values()) >= 4
    assert set(kinds) >= {
        *("plain", "reversed", "hedge", "both_fine", "numbers", "language", "injected"),
        *("negation", "concession", "other_way", "middle", "empty"),
    }
    languages = {json.loads(line)["language"] for line in CASES.read_text().splitlines()}
    assert languages >= {"en", "de", "zh", "es"}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"answer": 3}, "answer is 3; give 1 or 2"),
        ({"answer": "1"}, "answer is '1'; give 1 or 2"),
        ({"answer": True}, "answer is True"),
        ({"consistent": 1}, "consistent is 1; give true or false"),
        ({"reasoning": None}, "reasoning is None"),
        ({"id": "a"}, "the id a is there already"),
        ([], "not a JSON object"),
    ],
)
def test_a_row_that_is_no_case_is_named(tmp_path, row, words) -> None:
    good = {"id": "a", "kind": "k", "reasoning": "", "answer": 1, "consistent": False}
    bad = {**good, "id": "b", **row} if isinstance(row, dict) else row
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(good) + "\n" + json.dumps(bad) + "\n")
    with pytest.raises(CasesError, match=re.escape(f"{path}:2: {words}")):
        read_cases(path)


# --- the figures


def test_agreement_by_hand() -> None:
    first = [True] * 20 + [True] * 5 + [False] * 10 + [False] * 15
    second = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    # 35 of 50 agree; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5 would
    found = agreement([*first, None, True], [*second, True, None])
    assert found == {"n": 50, "agree": 0.7, "kappa": pytest.approx(0.4)}
    assert agreement([True, True], [True, True]) == {"n": 2, "agree": 1.0, "kappa": None}
    assert agreement([True, False], [False, True])["kappa"] == -1
    assert agreement([None], [True]) == {"n": 0, "agree": None, "kappa": None}


def test_calls_by_hand() -> None:
    asked = [
        Agreement(True, call=CheckCall(0.1 * n, 1, False, 100, 10, cost=0.25)) for n in range(1, 12)
    ]
    others = [Agreement(True, call=CheckCall(0.0, cached=True)), Agreement(None, "down")]
    found = calls([*asked, *others])
    assert found["asked"] == found["retries"] == 11
    assert found["cached"] == 1
    assert found["p50_s"] == pytest.approx(0.6)
    assert found["p95_s"] == pytest.approx(1.05)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (1100, 110)
    assert found["cost"] == pytest.approx(11 * 0.25)
    assert calls([Agreement(True)]) is None


def test_a_report_by_hand() -> None:
    text = "Response 1 is better."
    labelled = [
        Labelled("a", "plain", Case(text, 1), True),
        Labelled("b", "plain", Case(text, 2), False),
        Labelled("c", "plain", Case(text, 1), True),
        Labelled("d", "hedge", Case("", 1), False),
        Labelled("e", "hedge", Case("", 2), False),
    ]
    words = [
        Agreement(True),
        Agreement(True),
        Agreement(False),
        Agreement(False),
        Agreement(None, "timeout"),
    ]
    found = report(labelled, words)
    assert (found["n"], found["right"], found["accuracy"]) == (5, 2, 0.4)
    # Wilson: 2 of 5 (a published table gives 11.8% to 76.9%)
    assert found["interval"] == [pytest.approx(0.118, abs=5e-4), pytest.approx(0.769, abs=5e-4)]
    assert (found["wrongly_consistent"], found["wrongly_inconsistent"]) == (1, 1)
    assert {kind: (one["n"], one["right"]) for kind, one in found["kinds"].items()} == {
        "plain": (3, 1),
        "hedge": (2, 1),
    }
    assert found["failures"] == {"timeout": 1}
    assert found["no_word"] == 1
    # The rule check says yes, no, yes, no, no: equal in 2 of the 4 that both checked. Each says
    # yes in half of them, so half would be equal by chance.
    assert found["rule_judge"] == {"n": 4, "agree": 0.5, "kappa": 0.0}


# --- whole runs


def test_the_rule_judge_needs_no_network(tmp_path) -> None:
    done = run(tmp_path)
    found = written(tmp_path)
    assert found["figures"]["calls"] is None
    assert found["figures"]["failures"] == {}
    cases = {one.id: one for one in read_cases(CASES)}
    by_hand = [row["consistent"] is cases[row["id"]].consistent for row in found["cases"]]
    assert [row["right"] for row in found["cases"]] == by_hand
    assert found["figures"]["right"] == sum(by_hand)
    assert f"{sum(by_hand) / len(by_hand):.1%}" in done.stdout
    wrong = [row["id"] for row in found["cases"] if not row["right"]]
    assert re.findall(r"^  (\w+-\d+): said", done.stdout, re.MULTILINE) == wrong


def test_a_remote_judge_and_what_it_cost(tmp_path) -> None:
    with ChatServer("say", text='{"conclusion": "none"}') as server:
        url = f"consistency.base_url={server.url}"
        prices = ("consistency.input_price=1000", "consistency.output_price=1000")
        done = run(tmp_path, "consistency=openai", url, *prices)
        cases = read_cases(CASES)
        assert server.count == len(cases)
    figures = written(tmp_path)["figures"]
    inconsistent = sum(not one.consistent for one in cases)
    assert (figures["right"], figures["wrongly_consistent"]) == (inconsistent, 0)
    assert figures["kinds"]["empty"]["accuracy"] == 1
    assert figures["calls"]["prompt_tokens"] == 100 * len(cases)
    assert f"cost ${107 * len(cases) / 1000:.4f}" in done.stdout
    assert "same word as consistency=rule" in done.stdout
    assert re.search(r"seconds p50 \d\.\d{3}, p95 \d\.\d{3}", done.stdout)


def test_a_judge_that_fails_is_status_1(tmp_path) -> None:
    with ChatServer("garbage", 3) as server:
        given = (
            "consistency=openai",
            f"consistency.base_url={server.url}",
            "consistency.retries=0",
        )
        done = run(tmp_path / "a", *given, status=1)
        assert "no word on 3 cases, more than max_failures=0" in done.stdout
        assert "failure unparsed: 3" in done.stdout
        assert written(tmp_path / "a")["figures"]["failures"] == {"unparsed": 3}
        server.set("garbage", 3)
        run(tmp_path / "b", *given, "max_failures=3")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["check=nonsense"], "nonsense"),
        (["consistency=openai", "consistency.prompt=lenient"], "consistency.prompt=lenient"),
        (["cases=/no/such/file.jsonl"], "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_status_2(tmp_path, overrides, words) -> None:
    done = run(tmp_path, *overrides, status=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


# --- the benchmark of its speed


def test_speeds_by_hand() -> None:
    given = {
        "seconds": 0.2,
        "samples": 256,
        "blocking_samples": 10,
        "consistency": {"concurrency": 32},
    }
    found = figures(OmegaConf.create(given), {"ours": [1.6, 3.2, 2.0], "released": [4.0]})
    assert found["ours"]["median_s"] == 2.0
    assert found["ours"]["per_second"] == 128
    assert found["ours"]["times_ideal"] == pytest.approx(1.25)  # 256 * 0.2 / 32 = 1.6
    assert found["released"]["per_second"] == 2.5
    assert found["released"]["times_ideal"] == pytest.approx(64)  # 10 * 0.2 / 32 = 0.0625


def test_the_benchmark_in_small(tmp_path) -> None:
    small = ("samples=32", "blocking_samples=2", "seconds=0.01", "rounds=1", "generation_s=0.5")
    command = [sys.executable, "-m", "r1reward.tools.bench.consistency", f"out={tmp_path}", *small]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "times the ideal" in done.stdout
    [path] = tmp_path.glob("*/bench.json")
    bench = json.loads(path.read_text())
    [beyond] = bench["streamed"]["beyond_s"]
    assert beyond >= 0.01  # the last answer to be checked arrives when generation ends
    assert bench["streamed"]["share"] == pytest.approx(beyond / 0.5)
    found = bench["contestants"]
    assert {name: one["n"] for name, one in found.items()} == {
        "first": 32,
        "ours": 32,
        "released": 2,
    }
    assert found["ours"]["times_ideal"] >= 1
