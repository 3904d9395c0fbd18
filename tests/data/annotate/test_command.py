"""The command and its folder, rows that are no records, and the tiny model."""

import json
import re
import subprocess
import sys

import pytest
from support.annotate import (
    PHOTOS,
    difficulty,
    journal,
    manifest,
    printed_row,
    record,
    table,
    write,
)

from r1reward.config.compose import REPO
from r1reward.core.preferences import read_preferences
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.data.annotate import folder as annotated
from r1reward.store.shards import write_shard


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


def test_the_tiny_model_annotates_photos(command, tmp_path) -> None:
    source, out = PHOTOS / "validation.jsonl", tmp_path / "out"
    where = [f"input={source}", f"out={out}", "limit=20", "judge=hf", "judge.batch_size=20"]
    printed = command(*where, "preset.max_tokens=48", "max_failures=0")
    rows, records = table(out), list(read_preferences(source))[:20]
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
