"""Annotation by an endpoint that answers, refuses and breaks."""

import json

import pytest
from PIL import Image
from support.annotate import (
    PROSE,
    RIGHT,
    WRONG,
    difficulty,
    journal,
    manifest,
    printed_row,
    record,
    remote,
    says,
    table,
    write,
)

from r1reward.core.preferences import read_preferences

PLAN = {
    "easy": [RIGHT],
    "second": [WRONG, RIGHT],
    "prose": [PROSE, RIGHT],
    "both": ["<answer>1</answer> or <answer>2</answer>", "", RIGHT],
    "untagged": [f"Well. {RIGHT}"],
    "burst": [429, 500, "garbage", WRONG, 503, "garbage", RIGHT],
    "never": [WRONG, PROSE, says(1, "A again.")],
    "refused": [400],
    "refused later": [WRONG, 400, RIGHT],
}


def test_an_endpoint_with_good_and_bad_days(serve, command, tmp_path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    photo = [{"kind": "image", "uri": "photo.png"}]
    rows = [record(question, 2, media=photo, origin=7) for question in PLAN]
    source, out = write(tmp_path / "rows.jsonl", *rows), tmp_path / "out"
    endpoint = serve(**PLAN)
    printed = command(f"input={source}", f"out={out}", *remote(endpoint))
    assert difficulty(out) == {
        **{"easy": (1, True), "second": (2, True), "prose": (2, True), "both": (3, True)},
        **{"untagged": (1, True), "burst": (2, True), "never": (3, False)},
        **{"refused": (None, None), "refused later": (None, None)},
    }
    texts = {row["question"]: row["reasoning"] for row in table(out)}
    assert texts["second"] == texts["burst"] == RIGHT
    assert texts["untagged"] == f"Well. {RIGHT}"
    assert texts["never"] is texts["refused"] is texts["refused later"] is None
    assert {row["origin"] for row in table(out)} == {"7"}
    assert endpoint.requests == {
        **{"easy": 1, "second": 2, "prose": 2, "both": 3, "untagged": 1},
        **{"burst": 7, "never": 3, "refused": 1, "refused later": 2},
    }
    assert {body["temperature"] for body in endpoint.bodies} == {1.0}
    # records, at 1, 2, 3, unsolved (of the 7 that are known), failed, unreadable answers
    assert (
        printed_row(printed.out, "test")
        == printed_row(printed.out, "all")
        == [
            *("9", "2 (28.6%)", "3 (42.9%)", "1 (14.3%)", "1 (14.3%)", "2", "4"),
        ]
    )
    lines = printed.out.splitlines()
    assert (
        "RL (two attempts or more, or unsolved): 5 records; SFT (solved): 6, "
        "5 of them in the asked format" in lines
    )
    assert "unreadable answers: no_answer 2, several_answers 1, empty 1" in lines
    # 15 answers: 1 + 2 + 2 + 3 + 1 + 2 + 3 + 0 + 1; each 100 tokens at $20/M and 10 at $200/M
    assert any(line.endswith("; 1,500 tokens read, 150 written, $0.06") for line in lines)
    assert manifest(out)["annotation"]["usage"]["cost"] == pytest.approx(0.06)
    report = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    uids = {one.question: one.uid for one in read_preferences(source)}
    assert {(row["where"], row["uid"], row["reason"]) for row in report} == {
        (f"{source}:8", uids["refused"], "refused"),
        (f"{source}:9", uids["refused later"], "refused"),
    }

    asked = endpoint.requests.copy()
    endpoint.plan["refused"] = [RIGHT]
    command(f"input={source}", f"out={out}", *remote(endpoint))
    assert endpoint.requests - asked == {"refused": 1, "refused later": 1}
    assert difficulty(out)["refused"] == (1, True)
    assert difficulty(out)["refused later"] == (2, True)
    assert (out / "report.jsonl").read_text() == ""


def test_more_than_max_failures_is_status_1_and_keeps_the_answers(serve, command, tmp_path) -> None:
    plan = {"a": [RIGHT], "b": [RIGHT], "c": [400, RIGHT], "d": [WRONG, 400, RIGHT]}
    source = write(tmp_path / "rows.jsonl", *(record(question, 2) for question in plan))
    out, endpoint = tmp_path / "out", serve(**plan)
    run = [f"input={source}", f"out={out}", *remote(endpoint)]
    printed = command(*run, "max_failures=1", "judge.concurrency=1", status=1)
    assert printed.err.startswith("error 2 records failed, more than max_failures")
    assert f"{source}:3: refused: " in printed.err
    assert f"{source}:4: refused: " in printed.err
    assert not list(out.glob("*.parquet"))
    assert endpoint.requests == {"a": 1, "b": 1, "c": 1, "d": 2}
    assert len(journal(out)) == 3
    command(*run, "max_failures=0")
    assert endpoint.requests == {"a": 1, "b": 1, "c": 2, "d": 3}
    assert difficulty(out) == {"a": (1, True), "b": (1, True), "c": (1, True), "d": (2, True)}


def test_the_papers_preset_is_greedy_three_times_and_says_what_that_means(
    serve, command, tmp_path
) -> None:
    source = write(tmp_path / "rows.jsonl", record("easy", 2), record("never", 2))
    endpoint = serve(easy=[RIGHT], never=[WRONG])
    run = [f"input={source}", f"out={tmp_path / 'out'}", *remote(endpoint), "preset=paper"]
    printed = command(*run)
    assert {body["temperature"] for body in endpoint.bodies} == {0.0}
    assert endpoint.requests == {"easy": 1, "never": 3}
    assert "warning preset.temperature=0: a retry differs only by" in printed.out
    assert "2 of 2 retries said word for word" in printed.out
    assert difficulty(tmp_path / "out") == {"easy": (1, True), "never": (3, False)}


def test_an_image_that_does_not_open_fails_its_record_alone(serve, command, tmp_path) -> None:
    gone = [{"kind": "image", "uri": "gone.png"}]
    outside = [{"kind": "image", "uri": "../photo.png"}]
    rows = [record("easy", 2), record("gone", 2, media=gone), record("outside", 2, media=outside)]
    source, out = write(tmp_path / "rows.jsonl", *rows), tmp_path / "out"
    endpoint = serve(easy=[RIGHT])
    printed = command(f"input={source}", f"out={out}", *remote(endpoint))
    known = {"easy": (1, True), "gone": (None, None), "outside": (None, None)}
    assert difficulty(out) == known
    assert endpoint.requests == {"easy": 1}
    assert "2 records failed" in printed.out
    report = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    assert {row["reason"] for row in report} == {"media"}
