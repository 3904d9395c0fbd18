"""The harness from its command line: known judges, known numbers, and nothing is asked twice."""

import collections
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image
from support.waiting import HANG, wait_for

from r1reward.config.compose import REPO
from r1reward.eval.report.table import rate_text
from r1reward.eval.run import main
from r1reward.judge.key import answer_key
from r1reward.judge.protocol import Protocol
from r1reward.store.answers import Journal, JournalError

PHOTOS = REPO / "recipes" / "photos"
PAIRS = 204  # of the photo set's test file


def command(folder, *overrides):
    return [sys.executable, "-m", "r1reward.eval.run", f"run.dir={folder}", *overrides]


def environment():
    return {**os.environ, "PYTHONPATH": str(REPO / "tests"), "OPENAI_API_KEY": ""}


@pytest.fixture
def run(invoke, monkeypatch, tmp_path):
    """Run the command in this process, which ends with this status; return what it printed."""
    monkeypatch.chdir(REPO)
    monkeypatch.setenv("OPENAI_API_KEY", "")

    def harness(*overrides, folder="out", status=0):
        ended = invoke(main, f"run.dir={tmp_path / folder}", *overrides)
        assert ended.status == status, ended.out + ended.err
        return ended

    return harness


def results(tmp_path, folder="out"):
    return json.loads((tmp_path / folder / "results.json").read_text())


def logged(tmp_path, name, **settings):
    given = {"accuracy": 0.8, "log": tmp_path / name, **settings}
    return [
        *("judge=oracle", "judge._target_=support.logged_judge.Logged"),
        *(f"{'' if key == 'accuracy' else '+'}judge.{key}={value}" for key, value in given.items()),
    ]


def count_lines(path):
    return path.read_text().count("\n") if path.exists() else 0


def calls(tmp_path, name):
    return collections.Counter((tmp_path / name).read_text().splitlines())


# --- numbers that are known before


@pytest.mark.parametrize("choice", [1, 2])
def test_a_constant_judge_reads_half_and_never_consistent(run, choice, tmp_path) -> None:
    done = run("judge=constant", f"judge.choice={choice}")
    overall = results(tmp_path)["score"]["overall"]
    assert overall["items"] == PAIRS
    values = {key: value["value"] for key, value in overall.items() if isinstance(value, dict)}
    assert values["accuracy"] == 0.5
    assert values["consistent"] == 0
    assert values["flips"] == 1
    assert values["first_position"] == (choice == 1)
    assert values["parse_failures"] == 0
    assert results(tmp_path)["timing"]["asked"] == 2 * PAIRS
    [accuracy] = [line for line in done.out.splitlines() if line.startswith("│ accuracy")]
    assert "50.0% (" in accuracy
    [both] = [line for line in done.out.splitlines() if "right in both orders" in line]
    assert " 0.0% (" in both


def test_an_oracle_is_right_in_every_group(run, tmp_path) -> None:
    run("judge=oracle")
    score = results(tmp_path)["score"]
    assert score["overall"]["accuracy"]["value"] == score["overall"]["consistent"]["value"] == 1
    assert score["overall"]["first_position"]["value"] == 0.5
    [official] = score["groupings"]
    assert {group["name"]: group["items"] for group in official["groups"]} == {
        **{"animal": 34, "fish": 34, "monument": 38},
        **{"object": 16, "renewable energy": 36, "tool": 46},
    }
    assert {group["accuracy"]["value"] for group in official["groups"]} == {1}


def test_a_coin_reads_half_and_votes_have_a_curve(run, tmp_path) -> None:
    done = run("judge=random", "protocol.votes=3", "protocol.temperature=1.0")
    score = results(tmp_path)["score"]
    # 408 polls of independent fair votes: three standard deviations
    assert abs(score["overall"]["accuracy"]["value"] - 0.5) < 3 * (0.25 / 408) ** 0.5
    assert [point["votes"] for point in score["vote_curve"]] == [1, 2, 3]
    assert [point["any_chance"] for point in score["vote_curve"]] == [0.5, 0.75, 0.875]
    assert "vote curve" in done.out


def test_the_released_order_rewards_a_constant_judge_and_says_so(run, tmp_path) -> None:
    done = run("judge=constant", "protocol=released")
    assert results(tmp_path)["score"]["overall"]["accuracy"]["value"] == 1
    assert "warning order=chosen_first" in done.out


def test_a_trial_says_that_it_is_one(run, tmp_path) -> None:
    done = run("judge=oracle", "limit=5")
    assert results(tmp_path)["score"]["overall"]["items"] == 5
    assert "warning limit=5" in done.out


# --- nothing is lost, nothing is asked twice


def test_the_same_command_asks_nothing_again(run, tmp_path) -> None:
    judge = logged(tmp_path, "log")
    run(*judge)
    first = results(tmp_path)
    assert (first["timing"]["asked"], first["timing"]["reused"]) == (2 * PAIRS, 0)
    run(*judge)
    again = results(tmp_path)
    assert (again["timing"]["asked"], again["timing"]["reused"]) == (0, 2 * PAIRS)
    assert again["score"] == first["score"]
    assert set(calls(tmp_path, "log").values()) == {1}


@pytest.mark.parametrize("changed", ["protocol.max_tokens=9", "protocol.repetition_penalty=1.1"])
def test_other_sampling_is_asked_again(run, changed, tmp_path) -> None:
    judge = [*logged(tmp_path, "log"), "limit=3"]
    run(*judge)
    run(*judge, changed)
    assert set(calls(tmp_path, "log").values()) == {2}


def test_more_votes_ask_only_those_that_are_new(run, tmp_path) -> None:
    judge = [*logged(tmp_path, "log"), "limit=3", "protocol.temperature=1.0"]
    run(*judge, "protocol.votes=2")
    run(*judge, "protocol.votes=5")
    assert results(tmp_path)["timing"]["asked"] == 3 * 2 * 3
    assert set(calls(tmp_path, "log").values()) == {1}


@pytest.mark.parametrize("after", [40, 230])
def test_a_killed_run_goes_on_and_scores_the_same(run, after, tmp_path) -> None:
    run(*logged(tmp_path, "whole.log"), folder="whole")
    killed = subprocess.Popen(
        command(tmp_path / "out", *logged(tmp_path, "log", most=after + 50)),
        cwd=REPO,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    log = tmp_path / "log"
    wait_for(lambda: killed.poll() is not None or count_lines(log) >= after)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "out" / "results.json").exists()
    journal = (tmp_path / "out" / "journal.jsonl").read_text().splitlines()
    asked = count_lines(log)
    assert after <= asked <= after + 50
    assert asked - 4 <= len(journal) <= asked, "at most what was in flight is missing"

    run(*logged(tmp_path, "log"))
    assert results(tmp_path)["score"] == results(tmp_path, "whole")["score"]
    assert results(tmp_path)["timing"]["reused"] == len(journal)
    repeated = sum(calls(tmp_path, "log").values()) - 2 * PAIRS
    assert set(calls(tmp_path, "log")) == set(calls(tmp_path, "whole.log"))
    assert repeated == asked - len(journal), "asked twice: only what had not reached the journal"


def test_a_torn_line_costs_that_answer_only(run, tmp_path) -> None:
    judge = [*logged(tmp_path, "log"), "limit=10"]
    run(*judge)
    score, journal = results(tmp_path)["score"], tmp_path / "out" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    run(*judge)
    assert results(tmp_path)["score"] == score
    assert results(tmp_path)["timing"] | {"seconds": 0} == {"asked": 1, "reused": 19, "seconds": 0}
    lines = journal.read_bytes().splitlines()
    assert len(lines) == 21
    assert json.loads(lines[-1])["text"]


def test_a_journal_has_one_writer(tmp_path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with pytest.raises(JournalError, match="another evaluation"):
        Journal(tmp_path / "journal.jsonl")
    journal.close()
    Journal(tmp_path / "journal.jsonl").close()


def test_the_first_answer_stays_whatever_its_text(tmp_path) -> None:
    protocol = Protocol("test", "both", "wrong", 0, 1, 0.0, 1.0, 1.0, 10)
    keys = [answer_key("digest", protocol, "model", vote) for vote in range(3)]
    texts = ["a\nb\u2028c", "\ud800", ""]
    journal = Journal(tmp_path / "journal.jsonl")
    for key, text in zip(keys, texts, strict=True):
        journal.answer(key, text)
        journal.answer(key, "later")
    journal.fault(kind="server")
    journal.close()
    again = Journal(tmp_path / "journal.jsonl")
    assert [again.get(key)["text"] for key in keys] == ["a\nb\u2028c", "\ufffd", ""]
    assert len(again) == 3
    again.close()
    (tmp_path / "journal.jsonl").read_text("utf-8")  # valid: half a character is replaced


# --- faults


def test_few_faults_are_listed_and_asked_again(run, tmp_path) -> None:
    judge = [*logged(tmp_path, "log"), "limit=10", "judge.accuracy=1.0"]
    done = run(*judge, "+judge.broken=[2,5]", "max_failures=4")
    found = results(tmp_path)
    assert [(fault["index"], fault["kind"]) for fault in found["faults"]] == [
        *((2, "server"), (2, "server"), (5, "server"), (5, "server"))
    ]
    assert found["score"]["failures"] == {"missing": 4}
    assert found["score"]["overall"]["accuracy"]["value"] == 0.8  # 8 of 10: none is not right
    assert "4 prompts failed (server)" in done.out
    run(*judge, "max_failures=0")
    assert results(tmp_path)["score"]["overall"]["accuracy"]["value"] == 1
    assert results(tmp_path)["timing"]["asked"] == 4


def test_too_many_faults_end_it_without_a_score(run, tmp_path) -> None:
    judge = [*logged(tmp_path, "log"), "+judge.broken=[2,5]", "max_failures=3"]
    done = run(*judge, status=1)
    assert not (tmp_path / "out" / "results.json").exists()
    assert "more than max_failures" in done.err
    assert done.err.count("server: row") == 4
    assert "row 3, " in done.err


def test_an_image_that_does_not_open_is_a_fault_that_is_named(run, tmp_path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(PHOTOS, photos, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    first = json.loads((photos / "test.jsonl").read_text().splitlines()[0])["media"][0]["uri"]
    same = (photos / "test.jsonl").read_text().count(first)
    (photos / first).unlink()
    look = "judge._target_=support.logged_judge.Looking"
    judge = [*logged(tmp_path, "log"), look, f"benchmark.root={photos}"]
    done = run(*judge, "max_failures=0", "limit=1", status=1)
    assert f"media: {photos / first}: cannot be read" in done.err
    run(*judge, "max_failures=1000", folder="rest")
    assert len(results(tmp_path, "rest")["faults"]) == 2 * same


def test_other_pixels_are_asked_again(run, tmp_path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(PHOTOS, photos, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    look = "judge._target_=support.logged_judge.Looking"
    judge = [*logged(tmp_path, "log"), look, f"benchmark.root={photos}", "limit=8"]
    run(*judge)
    rows = [json.loads(line) for line in (photos / "test.jsonl").read_text().splitlines()[:8]]
    first = rows[0]["media"][0]["uri"]
    Image.new("RGB", (64, 64)).save(photos / first, "PNG")
    again = command(tmp_path / "out", *judge)  # a process of its own: each reads a file once
    subprocess.run(again, cwd=REPO, env=environment(), stdout=subprocess.DEVNULL, check=True)
    changed = sum(row["media"][0]["uri"] == first for row in rows)
    assert results(tmp_path)["timing"]["asked"] == 2 * changed


# --- what cannot be


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["benchmark=vlrewardbench", "benchmark.root=nowhere"], "MMInstruction/VL-RewardBench"),
        (["judge=nonsense"], "judge/nonsense"),
        (["judge=rule"], "Could not find 'judge/rule'"),
        (["judge.model=/nowhere"], "judge.model=/nowhere: no such folder"),
        (["judge=constant", "judge.choice=3"], "judge.choice=3"),
        (["judge=constant", "+judge.colour=red"], "'colour'"),
        (["judge=openai"], "judge.model"),
        (["judge=openai", "judge.model=x"], "OPENAI_API_KEY"),
        (["judge=constant", "protocol.votes=3"], "protocol.votes=3 at temperature 0"),
        (["judge=constant", "protocol.order=forwards"], "protocol.order=forwards"),
        (["judge=constant", "max_failure=3"], "max_failure"),
    ],
)
def test_what_cannot_be_is_one_message_and_status_2(run, overrides, message, tmp_path) -> None:
    done = run(*overrides, status=2)
    assert done.err.startswith("error ")
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out" / "results.json").exists()


def test_the_directory_belongs_to_judge_model_and_protocol(run, tmp_path) -> None:
    where = []
    for changed in ([], ["judge.choice=2"], ["protocol=released"], ["protocol.max_tokens=7"]):
        done = run("judge=constant", f"run.root={tmp_path}/runs", "run.dir=null", *changed)
        where.append(done.out.splitlines()[0].rpartition(" in ")[2])
    assert len(set(where)) == 4
    assert all(Path(folder).parent == tmp_path / "runs" / "photos" for folder in where)


def test_a_rate_that_is_not_there_is_a_dash() -> None:
    assert rate_text(None) == "-"


@pytest.mark.slow
def test_a_killed_evaluation_leaves_no_engine(tmp_path) -> None:
    limits = ("limit=40", "protocol.max_tokens=64", "report.judgements=0")
    process = subprocess.Popen(
        command(tmp_path / "out", "judge=vllm", *limits), cwd=REPO, env=environment()
    )
    journal = tmp_path / "out" / "journal.jsonl"
    wait_for(lambda: process.poll() is not None or count_lines(journal))
    engines = psutil.Process(process.pid).children(recursive=True)
    assert [one for one in engines if "VLLM" in " ".join(one.cmdline())]
    process.kill()
    process.wait()
    _, left = psutil.wait_procs(engines, timeout=HANG)
    assert left == []
