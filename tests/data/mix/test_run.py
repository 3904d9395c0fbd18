"""The same mix every time, the rows that are in no part, and the files that are written."""

import base64
import fcntl
import json
from itertools import pairwise

import pytest
from support.mix import HALVES, questions, row, shards, solved, tangled, unsolved

from r1reward.config.compose import REPO
from r1reward.core.preferences import read_preferences
from r1reward.core.rows import RowError
from r1reward.data.mix.select import MixError, Selection
from r1reward.store.shards import read_manifest


def test_neither_the_order_of_inputs_nor_of_rows_nor_workers_matter(write, made, tmp_path):
    rows = list(tangled(300, 7))
    parts = [write(rows[:150], "x"), write(rows[150:], "y")]
    turned = write(rows[::-1], "z")
    settings = {"split": {"train": 0.8, "rest": 0.2}, "stock": 1, "take": {"a": 200}}
    settings |= {"shard_bytes": 20_000}
    first = made(*parts, out=tmp_path / "first", **settings)
    second = made(*parts[::-1], out=tmp_path / "second", workers=2, **settings)
    third = made(turned, out=tmp_path / "third", **settings)
    assert first[0] == second[0] == third[0]
    for name in ("train", "rest"):
        assert shards(tmp_path / "first" / name) == shards(tmp_path / "second" / name)
        assert shards(tmp_path / "first" / name) == shards(tmp_path / "third" / name)
    assert len(shards(tmp_path / "first" / "train")) > 1
    assert made(*parts, **settings, seed=1)[0] != first[0]


def test_added_records_leave_the_others_where_they_were(write, made):
    rows = [row(n, source="ab"[n % 2], image=f"{n}") for n in range(1000)]
    settings = {"split": HALVES, "fraction": {"a": 0.5}}
    before, _, _ = made(write(rows[:800], "few"), **settings)
    after, _, _ = made(write(rows, "more"), **settings)
    for name in HALVES:
        old = set(questions(before[name]))
        assert [question for question in questions(after[name]) if question in old] == questions(
            before[name]
        )
        assert old <= set(questions(after[name]))
    few, _, _ = made(write(rows[:800], "few"), take={"a": 100})
    more, _, _ = made(write(rows, "more"), take={"a": 100})
    first = {item["question"] for item in few["train"] if item["source"] == "a"}
    second = {item["question"] for item in more["train"] if item["source"] == "a"}
    # The 100 lowest of 500 hashes: those of the 400 old ones among them were low before.
    assert second & {f"Question {n}?" for n in range(800)} <= first


def test_the_order_is_shuffled(write, made):
    parts, _, _ = made(write([row(n) for n in range(100)]))
    numbers = [int(question[9:-1]) for question in questions(parts["train"])]
    falls = sum(one > other for one, other in pairwise(numbers))
    assert 35 <= falls <= 64  # of 99, each as likely as not


def test_duplicates_go_and_the_annotated_one_stays(write, made, tmp_path):
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "photo.png").write_bytes(b"pixels")
    uri = base64.b64encode(b"pixels").decode()
    plain = row(1) | {"media": [{"kind": "image", "uri": "photo.png"}]}
    inline = plain | {"media": [{"kind": "image", "uri": f"data:image/png;base64,{uri}"}]}
    lines = tmp_path / "lines" / "rows.jsonl"
    lines.write_text("".join(json.dumps(item) + "\n" for item in (plain, row(2), inline, row(2))))
    data = write([row(1, image="pixels", **solved(2)), row(1, image="pixels", label=1)])
    parts, dropped, _ = made(lines, data)
    kept = sorted(parts["train"], key=lambda item: (item["question"], item["label"]))
    assert [(item["question"], item["label"], item["attempts"]) for item in kept] == [
        ("Question 1?", 1, None), ("Question 1?", 2, 2), ("Question 2?", 1, None),
    ]  # fmt: skip
    first = f"{data}/000000.parquet:1"
    assert [(line["where"], line["reason"], line["detail"]) for line in dropped] == [
        (f"{lines}:1", "duplicate", f"the same record as {first}"),
        (f"{lines}:3", "duplicate", f"the same record as {first}"),
        (f"{lines}:4", "duplicate", f"the same record as {lines}:2"),
    ]
    assert dropped[0]["uid"] == dropped[1]["uid"] != dropped[2]["uid"]


def test_bad_rows_are_listed_and_the_others_go_through(made, tmp_path):
    def media(uri, kind="image", **fields):
        return {"media": [{"kind": kind, "uri": uri, **fields}]}

    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.png").write_bytes(b"frame")
    (tmp_path / "empty.png").touch()
    bad = [
        (row(1, label=3), "record", "label=3"),
        ([1, 2], "record", "expected an object"),
        (row(2, **media("missing.png")), "media", "No such file"),
        (row(3, **media("../outside.png")), "media", "outside the media folder"),
        (row(4, **media("https://example.com/a.png")), "media", "remote"),
        (row(5, **media("frames", "video")), "media", "embed=false"),
        (row(6, **media("empty.png")), "media", "empty"),
        (row(7, **media("data:image/png;base64,####")), "record", "base64"),
        (row(8, **media("x", bytes="text")), "media", "No such file"),
        (row(9, attempts=2), "record", "attempts=2"),
        (row(10, attempts=0, solved=False), "record", "attempts=0"),
        (row(11, reasoning=["x"]), "record", "reasoning"),
        (row(12, **media("nul\0byte.png")), "media", "null"),
    ]
    lines = [json.dumps(item).encode() for item, _, _ in bad] + [b"\xff{}", b"{", b""]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join([*lines, json.dumps(row(0)).encode()]) + b"\n")
    parts, dropped, _ = made(path)
    assert questions(parts["train"]) == ["Question 0?"]
    assert [line["where"] for line in dropped] == [f"{path}:{n + 1}" for n in range(len(bad) + 2)]
    for line, (_, reason, words) in zip(dropped, bad, strict=False):
        assert line["reason"] == reason
        assert words in line["detail"]


def test_an_input_that_cannot_be_read_stops_the_mix(write, made, tmp_path):
    data = write([row(1)])
    (data / "torn.parquet").write_bytes((data / "000000.parquet").read_bytes()[:-100])
    with pytest.raises(RowError, match=r"torn\.parquet"):
        made(data)
    with pytest.raises(RowError, match="missing"):
        made(tmp_path / "missing", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mix_of_nothing_says_why(write, made, tmp_path):
    with pytest.raises(MixError, match=r"no row stays \(other difficulty 2, no reasoning 1\)"):
        made(write([row(1), row(2, **unsolved()), row(3, **solved(1, None))]),
             select=Selection(unsolved=False, unannotated=False, reasoning=True))  # fmt: skip
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(MixError, match="the inputs have none"):
        made(tmp_path / "rows.jsonl")


def test_what_a_part_holds(made, tmp_path):
    photo = (REPO / "recipes/photos/images").iterdir().__next__()
    given = row(1, **solved(2), origin="17") | {"media": [{"kind": "image", "uri": photo.name}]}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(given))
    (tmp_path / photo.name).write_bytes(photo.read_bytes())
    [item] = made(path, out=tmp_path / "out")[0]["train"]
    given["media"][0]["bytes"] = photo.read_bytes()
    assert item == {**given, "parts": None}  # its texts are plain
    [record] = read_preferences(tmp_path / "out" / "train")
    assert base64.b64decode(record.media[0].uri.partition(",")[2]) == photo.read_bytes()
    manifest = read_manifest(tmp_path / "out" / "train")
    assert manifest["command"] == "the command"
    assert (manifest["rows"], manifest["sources"]) == (1, {"a": 1})
    assert manifest["labels"] == {"1": 0, "2": 1}
    assert manifest["difficulty"] == {"2": 1}
    assert manifest["inputs"][0]["files"][0]["bytes"] == path.stat().st_size
    [item] = made(path, embed=False)[0]["train"]
    assert item["media"] == [{"kind": "image", "uri": str(tmp_path / photo.name), "bytes": None}]


def test_a_mix_goes_on_where_it_stopped(write, made, tmp_path):
    data, out = write([row(n) for n in range(200)]), tmp_path / "out"
    settings = {"split": HALVES, "shard_bytes": 5_000}
    before, _, _ = made(data, out=out, **settings)
    hashes = {name: shards(out / name) for name in HALVES}
    (out / "one" / "manifest.json").unlink()
    (out / "one" / "part-00001.parquet").unlink()
    (out / ".spool").mkdir()
    (out / ".spool" / "0").write_text("half a row")
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    after, _, result = made(data, out=out, **settings)
    assert after == before
    assert hashes == {name: shards(out / name) for name in HALVES}
    assert result.reused == len(times) == sum(map(len, hashes.values())) - 1
    assert times.items() <= {p: p.stat().st_mtime_ns for p in out.rglob("*.parquet")}.items()
    assert not (out / ".spool").exists()


def test_another_mix_into_the_same_folder_is_refused(write, made, tmp_path):
    data, out = write([row(n) for n in range(20)]), tmp_path / "out"
    made(data, out=out)
    with pytest.raises(MixError, match="another mix is there, with other seed and settings"):
        made(data, out=out, seed=1)
    write([row(n) for n in range(30)])
    with pytest.raises(MixError, match="with other inputs"):
        made(data, out=out)
    with pytest.raises(MixError, match="something else is there"):
        made(data, out=data)
    assert not (data / ".lock").exists()
    with open(out / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MixError, match="being made there"):
            made(data, out=out)
