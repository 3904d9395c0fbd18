"""Difficulty: attempts until right, whoever answers, however often it is stopped and started."""

import asyncio
import collections
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pyarrow.parquet as pq
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from r1reward.config.compose import CONF, REPO, register_resolvers
from r1reward.core.record import read_records
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.data.annotate import folder as annotated
from r1reward.data.annotate.attempts import Annotation, Preset, PresetError
from r1reward.judge.base import Answer, Blind, Fault, Judge, TooManyFaultsError
from r1reward.judge.build import build_judge
from r1reward.store.answers import Journal
from r1reward.store.shards import write_shard
from r1reward.tools.annotate import main

PHOTOS = REPO / "recipes" / "photos"
DRAWN = Preset(
    attempts=3, seed=0, temperature=1.0, top_p=1.0, repetition_penalty=1.0, max_tokens=64
)
PROSE = "The first response is nicer."


def record(question, label=1, source="test", **columns):
    responses = [f"{question}: yes.", f"{question}: no."]
    row = {"question": question, "responses": responses, "label": label, "media": []}
    return row | {"source": source} | columns


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def says(choice, words="Looked."):
    return f"<think>{words}</think><answer>{choice}</answer>"


def table(folder):
    return pq.read_table(sorted(folder.glob("*.parquet"))).to_pylist()


def difficulty(folder):
    return {row["question"]: (row["attempts"], row["solved"]) for row in table(folder)}


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def journal(folder):
    lines = (folder / "answers" / "journal.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "key" in row]


# --- a judge whose every attempt is known


class Scripted(Blind):
    """A question's first word says what becomes of each attempt.

    r: right, w: wrong, u: prose, h: right but with half a character, f: a fault.
    """

    window, identity = 4, "scripted"

    def __init__(self, protocol, asked):
        super().__init__(protocol, PHOTOS)
        self.asked, self.seeds = asked, []

    digest = Judge.digest  # equal records look alike

    def choose(self, item, vote):
        raise NotImplementedError

    async def judge(self, call, votes):
        [vote] = votes
        step = call.item.record.question.split()[0][vote]
        label = call.item.record.label
        self.asked[call.item.record.question, vote] += 1
        self.seeds.append(self.protocol.seed)
        await asyncio.sleep(0)
        texts = {"r": says(label), "w": says(3 - label), "u": PROSE, "h": says(label, "\ud800")}
        yield vote, Answer(texts[step], 10, 2, 0.5) if step in texts else Fault("server", "gone")


def attempted(folder, rows, preset=DRAWN, asked=None, limit=None, max_failures=9):
    """An annotation of ``rows`` that is through, and its rows."""
    source = write(folder / "rows.jsonl", *rows)
    judge = Scripted(preset.protocol(), collections.Counter() if asked is None else asked)
    answers = Journal(folder / "answers.jsonl")
    try:
        annotation = Annotation(source, judge, preset, answers, limit, max_failures)
        asyncio.run(annotation.ask(lambda: None))
        return annotation, list(annotation.rows(lambda _: None))
    finally:
        answers.close()


KNOWN = {
    "r": (1, True),
    "wr": (2, True),
    "ur": (2, True),
    "wur": (3, True),
    "www": (3, False),
    "uuu": (3, False),
    "uwu": (3, False),
    "f": (None, None),
    "wf": (None, None),
    "wwf": (None, None),
}


@pytest.mark.parametrize("label", [1, 2])
def test_attempts_are_those_until_the_right_answer(label, tmp_path) -> None:
    asked = collections.Counter()
    rows = [record(f"{plan} {n}", label) for n in range(3) for plan in KNOWN]
    annotation, found = attempted(tmp_path, rows, asked=asked)
    assert [(row["attempts"], row["solved"]) for row in found] == [*KNOWN.values()] * 3
    for row in found:
        assert row["reasoning"] == (says(label) if row["solved"] else None)
        assert (row["label"], row["responses"][0]) == (label, f"{row['question']}: yes.")
    # An attempt follows one that was wrong or unreadable, and nothing follows the right one.
    expected = {(f"{p} {n}", vote) for n in range(3) for p in KNOWN for vote in range(len(p))}
    assert set(asked) == expected
    assert set(asked.values()) == {1}
    total = annotation.difficulty.total()
    assert (total.records, total.unsolved, total.failed) == (30, 9, 9)
    assert total.solved == {1: 3, 2: 6, 3: 3}
    assert (total.sft, total.rl) == (12, 18)  # rl: 6 + 3 solved late, 9 unsolved
    assert total.unreadable == {"no_answer": 3 * (1 + 1 + 3 + 2)}
    answers = 3 * (1 + 2 + 2 + 3 + 3 + 3 + 3 + 0 + 1 + 2)
    assert annotation.difficulty.usage == {
        "prompt_tokens": 10 * answers,
        "completion_tokens": 2 * answers,
        "cost": 0.5 * answers,
    }
    # Retries that repeat: in www the 2nd and 3rd, in uuu both, in wwf the 2nd.
    assert (annotation.difficulty.retries, annotation.difficulty.repeated) == (3 * 11, 3 * 5)


def test_one_attempt_is_all_or_nothing(tmp_path) -> None:
    once = Preset(1, 0, 0.0, 1.0, 1.0, 64)
    annotation, found = attempted(tmp_path, [record("r"), record("wr")], once)
    assert [(row["attempts"], row["solved"]) for row in found] == [(1, True), (1, False)]
    assert (annotation.difficulty.total().sft, annotation.difficulty.total().rl) == (1, 1)


def test_more_attempts_ask_only_those_that_are_new(tmp_path) -> None:
    asked = collections.Counter()
    rows = [record("r"), record("wwwr"), record("wwwww")]
    two = Preset(2, 0, 1.0, 1.0, 1.0, 64)
    five = Preset(5, 0, 1.0, 1.0, 1.0, 64)
    _, before = attempted(tmp_path, rows, two, asked)
    _, after = attempted(tmp_path, rows, five, asked)
    assert [row["attempts"] for row in before] == [1, 2, 2]
    assert [row["attempts"] for row in after] == [1, 4, 5]
    assert set(asked.values()) == {1}


def test_a_failed_record_goes_on_at_the_attempt_that_failed(tmp_path) -> None:
    asked = collections.Counter()
    attempted(tmp_path, [record("wf")], asked=asked)
    attempted(tmp_path, [record("wf")], asked=asked)
    assert asked == {("wf", 0): 1, ("wf", 1): 2}


def test_equal_records_are_asked_once(tmp_path) -> None:
    asked = collections.Counter()
    _, found = attempted(tmp_path, [record("wr")] * 6, asked=asked)
    assert [row["attempts"] for row in found] == [2] * 6
    assert asked == {("wr", 0): 1, ("wr", 1): 1}


def test_each_session_draws_from_a_seed_of_its_own(tmp_path) -> None:
    """An engine that is seeded alike again repeats its draws: a retry would be no retry."""
    first, _ = attempted(tmp_path, [record("wf"), record("ur")])
    second, _ = attempted(tmp_path, [record("wf"), record("ur"), record("www")])
    assert set(first.judge.seeds) == {0}
    assert set(second.judge.seeds) == {3}  # answers were there: w, u, r


def test_too_many_failures_end_it(tmp_path) -> None:
    rows = [record(f"f {n}") for n in range(4)]
    with pytest.raises(TooManyFaultsError):
        attempted(tmp_path, rows, max_failures=3)
    annotation, _ = attempted(tmp_path, rows, max_failures=4)
    assert [fault["reason"] for fault in annotation.faults] == ["server"] * 4


def test_half_a_character_becomes_a_whole_one(tmp_path) -> None:
    _, found = attempted(tmp_path, [record("h")])
    assert found[0]["reasoning"] == says(1, "\ufffd")


def test_embedded_media_stay_bytes(tmp_path) -> None:
    path = next(read_records(PHOTOS / "test.jsonl")).media[0].uri
    shown = [
        {"kind": "image", "uri": "a.webp", "bytes": (PHOTOS / path).read_bytes()},
        {"kind": "image", "uri": path, "bytes": None},
    ]
    write_shard(tmp_path / "in" / "shard-0.parquet", [record("r", media=shown, origin="row 7")])
    answers = Journal(tmp_path / "answers.jsonl")
    judge = Scripted(DRAWN.protocol(), collections.Counter())
    annotation = Annotation(tmp_path / "in", judge, DRAWN, answers, None, 0)
    asyncio.run(annotation.ask(lambda: None))
    write_shard(tmp_path / "out" / "shard-0.parquet", annotation.rows(lambda _: None))
    answers.close()
    [row] = table(tmp_path / "out")
    assert row["media"] == shown
    assert (row["origin"], row["attempts"]) == ("row 7", 1)
    [before], [after] = (list(read_records(tmp_path / name)) for name in ("in", "out"))
    assert before == after


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"attempts": 0}, "preset.attempts=0"),
        ({"attempts": 128}, "preset.attempts=128"),
        ({"attempts": 1.5}, "preset.attempts=1.5"),
        ({"attempts": True}, "preset.attempts=True"),
        ({"temperature": "hot"}, "preset.temperature=hot"),
        ({"top_p": 0.0}, "preset.temperature=1.0, top_p=0.0"),
    ],
)
def test_a_preset_that_cannot_be_is_named(changed, message) -> None:
    settings = {name: getattr(DRAWN, name) for name in DRAWN.__dataclass_fields__}
    with pytest.raises(PresetError, match=re.escape(message)):
        Preset(**settings | changed).protocol()


# --- the command


@pytest.fixture
def command(monkeypatch, capfd):
    """Run the command here; return its exit status, what it printed, and what it complained of."""

    def run(*overrides, status=0):
        monkeypatch.setattr(sys, "argv", ["annotate", *map(str, overrides)])
        left = 0
        try:
            main()
        except SystemExit as stopped:
            left = stopped.code
        printed = capfd.readouterr()
        assert left == status, printed.out + printed.err
        return printed

    return run


def cells(line):
    return [cell.strip() for cell in line.strip("│").split("│")]


def printed_row(out, name):
    [line] = [line for line in out.splitlines() if line.startswith(f"│ {name} ")]
    return cells(line)[1:]


class Endpoint:
    """Answers what ``plan`` says for the question in the prompt, one step a request.

    A step is a text to answer, a status, or ``garbage``. The last step stays.
    """

    def __init__(self, plan):
        self.plan = {question: list(steps) for question, steps in plan.items()}
        self.requests, self.bodies = collections.Counter(), []
        app = FastAPI()
        app.post("/v1/chat/completions")(self._complete)
        self._server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error")
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        [listening] = self._server.servers
        self.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"

    async def _complete(self, request: Request):
        body = await request.json()
        self.bodies.append(body)
        text = body["messages"][0]["content"][-1]["text"]
        [question] = re.findall(r"\[Question\]:\n(.*?)  \n", text)
        self.requests[question] += 1
        steps = self.plan[question]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, int):
            return JSONResponse({"error": {"message": "no"}}, step)
        if step == "garbage":
            return PlainTextResponse('{"choices": [', media_type="application/json")
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        message = {"role": "assistant", "content": step}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return JSONResponse({"choices": choices, "usage": usage})

    def stop(self):
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def serve():
    """Start endpoints that end with the test."""
    started = []

    def start(**plan) -> Endpoint:
        started.append(Endpoint(plan))
        return started[-1]

    yield start
    for endpoint in started:
        endpoint.stop()


def remote(endpoint, *overrides):
    prices = ["judge.input_price=20", "judge.output_price=200"]
    where = ["judge.model=expert", f"judge.base_url={endpoint.url}", "judge.request_s=5"]
    return ["judge=openai", *where, "judge.deadline_s=30", *prices, *overrides]


RIGHT, WRONG = says(2, "B is it."), says(1, "A is it.")  # of records with label 2
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
    uids = {one.question: one.uid for one in read_records(source)}
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


def test_a_greedy_local_judge_is_warned_of() -> None:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("annotate", ["judge=hf", "preset=paper"])
    OmegaConf.resolve(config)
    preset = Preset(**config.preset)
    assert (preset.attempts, preset.temperature) == (3, 0.0)
    judge = build_judge(config.judge, preset.protocol(), PHOTOS)
    [warning] = preset.warnings(judge)
    assert "repeats itself" in warning
    assert list(DRAWN.warnings(judge)) == []
    assert list(Preset(1, 0, 0.0, 1.0, 1.0, 64).warnings(judge)) == []


def test_rows_that_are_no_records_are_reported_and_left_out(command, tmp_path) -> None:
    bad = [record("three", 3), '{"question', record("half \ud800")]
    source = write(
        tmp_path / "rows.jsonl", bad[0], record("a", origin="\ud800"), *bad[1:], "", record("b", 2)
    )
    out = tmp_path / "out"
    printed = command(f"input={source}", f"out={out}", "judge=oracle", "max_failures=0")
    assert difficulty(out) == {"a": (1, True), "b": (1, True)}
    assert [row["origin"] for row in table(out)] == ["\ufffd", None]
    assert "3 rows are no records" in printed.out
    report = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    assert [(row["where"], row["reason"]) for row in report] == [
        (f"{source}:{number}", "record") for number in (1, 3, 4)
    ]
    assert "label=3" in report[0]["detail"]
    assert manifest(out)["annotation"]["rejected"] == 3


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


def test_shards_are_cut_and_those_of_more_rows_go(command, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(annotated, "_ROWS", 2)
    source = write(tmp_path / "rows.jsonl", *(record(f"q{n}") for n in range(5)))
    run = [f"input={source}", f"out={tmp_path / 'out'}", "judge=oracle"]
    command(*run)
    assert [shard["rows"] for shard in manifest(tmp_path / "out")["shards"]] == [2, 2, 1]
    assert [row["question"] for row in table(tmp_path / "out")] == [f"q{n}" for n in range(5)]
    command(*run, "limit=3")
    assert [row["question"] for row in table(tmp_path / "out")] == ["q0", "q1", "q2"]
    assert {path.name for path in (tmp_path / "out").glob("*.parquet")} == {
        shard["name"] for shard in manifest(tmp_path / "out")["shards"]
    }


def test_a_folder_belongs_to_one_annotation(command, tmp_path) -> None:
    source = write(tmp_path / "rows.jsonl", record("a"))
    other = write(tmp_path / "other.jsonl", record("b"))
    out = f"out={tmp_path / 'out'}"
    run = [f"input={source}", out, "judge=oracle"]
    command(*run)
    command(*run, "preset.attempts=5", "limit=1")  # the same answers, and more of them
    for changed, message in [
        ([f"input={other}"], "input was "),
        (["judge.accuracy=0.5"], "judge was oracle-1-0, now oracle-0.5-0"),
        (["preset=paper"], "temperature was 1.0, now 0.0"),
    ]:
        assert message in command(*run, *changed, status=2).err
    refused = command(f"input={source}", f"out={tmp_path}", "judge=oracle", status=2)
    assert "other data are there" in refused.err
    made = tmp_path / "out"
    assert "other data are there" in command(f"input={made}", out, "judge=oracle", status=2).err
    assert difficulty(made) == {"a": (1, True)}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "input and out"),
        (["input=nowhere.jsonl", "out=OUT"], "nowhere.jsonl: cannot be read"),
        (["input=rows.csv", "out=OUT"], "read from .jsonl and .parquet"),
        (["input=TORN", "out=OUT"], "torn.parquet: cannot be read"),
        (["input=NONE", "out=OUT"], "none of its 1 rows is a record"),
        (["input=NONE", "out=OUT", "judge=rule"], "Could not find 'judge/rule'"),
        (["input=NONE", "out=OUT", "judge=openai"], "judge.model"),
        (["input=NONE", "out=OUT", "preset.attempts=0"], "preset.attempts=0"),
        (["input=NONE", "out=OUT", "preset.temperature=-1"], "preset.temperature=-1"),
        (["input=NONE", "out=OUT", "+preset.colour=red"], "'colour'"),
        (["input=NONE", "out=OUT", "preset=nonsense"], "preset/nonsense"),
        (["input=NONE", "out=OUT", "max_failure=3"], "max_failure"),
    ],
)
def test_what_cannot_be_is_one_message_and_status_2(overrides, message, command, tmp_path) -> None:
    torn, none = tmp_path / "torn.parquet", tmp_path / "none.jsonl"
    write_shard(torn, [record("a")])
    torn.write_bytes(torn.read_bytes()[:-30])
    write(none, record("a", 3))
    names = {"TORN": str(torn), "NONE": str(none), "OUT": str(tmp_path / "out")}
    given = [re.sub("TORN|NONE|OUT", lambda name: names[name[0]], text) for text in overrides]
    chosen = any(text.startswith("judge=") for text in given)
    printed = command(*given, *([] if chosen else ["judge=constant"]), status=2)
    assert printed.err.startswith("error ")
    assert message in printed.err
    assert not list(tmp_path.glob("out/*.parquet"))


def test_the_command_imports_nothing_heavy() -> None:
    heavy = ("torch", "vllm", "transformers", "ray", "matplotlib")
    code = f"import sys, r1reward.tools.annotate; print([m for m in {heavy} if m in sys.modules])"
    options = {"cwd": REPO, "capture_output": True, "text": True, "check": True}
    assert subprocess.run([sys.executable, "-c", code], **options).stdout.strip() == "[]"


# --- stopped and started

# Every call that was answered leaves a line in ``log``, after ``pause``.
LOGGED = textwrap.dedent(
    """
    import asyncio
    from r1reward.judge.oracle import OracleJudge

    class Logged(OracleJudge):
        window = 4

        def __init__(self, protocol, media_root, accuracy, seed, log, pause):
            super().__init__(protocol, media_root, accuracy, seed)
            self._log, self._pause = log, pause

        async def judge(self, call, votes):
            for vote in votes:
                await asyncio.sleep(self._pause)
                with open(self._log, "a") as file:
                    file.write(f"{call.item.id} {vote}\\n")
                async for reply in super().judge(call, [vote]):
                    yield reply
    """
)


def logged(tmp_path, name, pause=0.0):
    (tmp_path / "logged_attempts.py").write_text(LOGGED)
    return [
        sys.executable,
        *("-m", "r1reward.tools.annotate", f"input={PHOTOS / 'validation.jsonl'}"),
        *(f"out={tmp_path / name}", "judge=oracle", "judge._target_=logged_attempts.Logged"),
        *("judge.accuracy=0.5", f"+judge.log={tmp_path / name}.log", f"+judge.pause={pause}"),
    ]


def calls(tmp_path, name):
    return collections.Counter((tmp_path / f"{name}.log").read_text().splitlines())


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path) -> None:
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    options = {"cwd": REPO, "env": env, "stdout": subprocess.DEVNULL}
    subprocess.run(logged(tmp_path, "whole"), **options, check=True)
    killed = subprocess.Popen(logged(tmp_path, "out", 0.005), **options)
    log, deadline = tmp_path / "out.log", time.monotonic() + 60
    while not log.exists() or log.read_text().count("\n") < 150:
        assert killed.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not list((tmp_path / "out").glob("*.parquet"))
    asked, answered = calls(tmp_path, "out").total(), len(journal(tmp_path / "out"))
    assert asked - 4 <= answered <= asked, "at most what was in flight is missing"
    path = tmp_path / "out" / "answers" / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-20])  # and the last line is torn

    subprocess.run(logged(tmp_path, "out", 0.005), **options, check=True)
    again = calls(tmp_path, "out").total() - calls(tmp_path, "whole").total()
    assert again == asked - answered + 1, "asked twice: only what the journal does not have"
    assert set(calls(tmp_path, "out")) == set(calls(tmp_path, "whole"))
    whole, after = manifest(tmp_path / "whole"), manifest(tmp_path / "out")
    assert after["shards"] == whole["shards"]
    assert after["annotation"] == whole["annotation"]

    subprocess.run(logged(tmp_path, "out", 0.005), **options, check=True)
    assert calls(tmp_path, "out").total() == calls(tmp_path, "whole").total() + again
    assert manifest(tmp_path / "out")["shards"] == whole["shards"]


# --- a real judge


def test_the_tiny_model_annotates_photos(command, tmp_path) -> None:
    source, out = PHOTOS / "validation.jsonl", tmp_path / "out"
    where = [f"input={source}", f"out={out}", "limit=20", "judge=hf", "judge.batch_size=20"]
    printed = command(*where, "preset.max_tokens=48", "max_failures=0")
    rows, records = table(out), list(read_records(source))[:20]
    assert [row["question"] for row in rows] == [one.question for one in records]
    for row, one in zip(rows, records, strict=True):
        assert row["media"][0] == {"kind": "image", "uri": one.media[0].uri, "bytes": None}
        if row["solved"]:
            verdict = parse_verdict(row["reasoning"])
            assert isinstance(verdict, Verdict)
            assert verdict.choice == one.label
        else:
            assert (row["attempts"], row["reasoning"]) == (3, None)
    attempts = [row["attempts"] for row in rows]
    assert len(journal(out)) == sum(attempts)
    solved = [row["attempts"] for row in rows if row["solved"]]
    shown = [int(cell.split()[0]) for cell in printed_row(printed.out, "photos")]
    at = [solved.count(attempt) for attempt in (1, 2, 3)]
    assert shown[:6] == [20, *at, 20 - len(solved), 0]
    assert manifest(out)["annotation"]["rl"] == 20 - at[0]
    again = command(*where, "preset.max_tokens=48", "max_failures=0")
    assert f"0 answers (0.0/s), {sum(attempts)} from the journal" in again.out
    assert printed_row(again.out, "photos") == printed_row(printed.out, "photos")
