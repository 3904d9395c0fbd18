"""Shards: what is written is what training reads, whole or not at all, and small in memory."""

import base64
import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from r1reward.config.compose import REPO
from r1reward.core.pair import Media, Preference
from r1reward.core.preferences import read_preferences
from r1reward.store import shards
from r1reward.store.shards import (
    SCHEMA,
    Shard,
    media_folder,
    read_manifest,
    write_manifest,
    write_shard,
)

PHOTOS = REPO / "recipes" / "photos"
PIXEL = bytes.fromhex("ffd8ffe0") + b"jpeg"
ROW = {
    "question": "What is it?",
    "responses": ["A cat.", "Ein Hund, größer."],
    "label": 2,
    "media": [{"kind": "image", "uri": "a/b.jpg", "bytes": None}],
    "source": "test",
    "origin": "row 7",
}


def test_a_shard_holds_its_rows_and_says_what_it_is(tmp_path):
    shard = write_shard(tmp_path / "part-00003.parquet", [ROW, ROW | {"media": []}])
    content = (tmp_path / "part-00003.parquet").read_bytes()
    assert shard == Shard(
        "part-00003.parquet", 2, len(content), hashlib.sha256(content).hexdigest()
    )
    first, second = pq.read_table(tmp_path / "part-00003.parquet").to_pylist()
    unset = {"parts": None, "attempts": None, "solved": None, "reasoning": None}
    assert first == ROW | unset
    assert second == ROW | unset | {"media": []}
    assert pq.read_schema(tmp_path / "part-00003.parquet").equals(SCHEMA)
    assert [path.name for path in tmp_path.iterdir()] == ["part-00003.parquet"]


def test_the_same_rows_give_the_same_bytes(tmp_path):
    one, two = (write_shard(tmp_path / name, [ROW] * 700) for name in ("a", "b"))
    assert dataclasses.replace(two, name="a") == one


def test_records_are_read_back_with_media_by_path_and_embedded(tmp_path):
    inside = ROW | {"media": [{"kind": "image", "uri": None, "bytes": PIXEL}]}
    write_shard(tmp_path / "part-00000.parquet", [ROW, inside])
    by_path, embedded = read_preferences(tmp_path)
    assert by_path == Preference(
        "What is it?",
        ("A cat.", "Ein Hund, größer."),
        (Media("image", "a/b.jpg"),),
        label=2,
        source="test",
    )
    assert embedded.media == (Media("image", "data:image;base64,/9j/4GpwZWc="),)


def test_what_training_uses_reads_it_row_by_row(tmp_path):
    rows = [ROW, ROW | {"media": [{"kind": "image", "uri": None, "bytes": PIXEL}]}]
    path = str(tmp_path / "a.parquet")
    write_shard(tmp_path / "a.parquet", rows)
    read = load_dataset("parquet", data_files=path, cache_dir=str(tmp_path / "cache"))["train"]
    assert read[1]["media"] == [{"kind": "image", "uri": None, "bytes": PIXEL}]
    assert read[0]["label"] == 2


@pytest.mark.parametrize(
    ("images", "groups"),
    [(0, [256, 256, 88]), (1000, [100] * 6), (40_000, [3] * 200)],
)
def test_a_row_group_ends_by_rows_or_by_bytes_of_images(tmp_path, monkeypatch, images, groups):
    monkeypatch.setattr(shards, "_GROUP_BYTES", 100_000)
    media = [{"kind": "image", "uri": None, "bytes": b"x" * images}]
    write_shard(tmp_path / "a.parquet", [ROW | {"media": media}] * 600)
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    found = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert found == groups


def test_rows_that_fail_leave_nothing(tmp_path):
    def rows():
        yield ROW
        raise KeyError("no more")

    with pytest.raises(KeyError):
        write_shard(tmp_path / "a.parquet", rows())
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_is_read_back_and_a_torn_one_is_none(tmp_path):
    assert read_manifest(tmp_path) is None
    shard = write_shard(tmp_path / "a.parquet", [ROW])
    write_manifest(tmp_path, [shard], seed=3, inputs=["größe.jsonl"])
    found = read_manifest(tmp_path)
    assert found == {
        "schema": 1,
        "seed": 3,
        "inputs": ["größe.jsonl"],
        "shards": [dataclasses.asdict(shard)],
    }
    text = (tmp_path / "manifest.json").read_text()
    assert json.loads(text) == found
    (tmp_path / "manifest.json").write_text(text[: len(text) // 2])
    assert read_manifest(tmp_path) is None


def test_media_lie_where_asked_or_where_the_manifest_says_or_beside_the_rows(tmp_path) -> None:
    folder, file = tmp_path / "set", tmp_path / "rows.jsonl"
    folder.mkdir()
    assert media_folder(file, None) == tmp_path
    assert media_folder(folder, None) == folder
    write_manifest(folder, [], media_root="/photos")
    assert media_folder(folder, None) == Path("/photos")
    assert media_folder(folder, "/asked") == media_folder(file, "/asked") == Path("/asked")


def test_a_set_by_path_goes_through_every_tool_without_naming_its_media_again(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    better, other = "A photograph of something.", "Nothing at all can be seen."
    with open(tmp_path / "in" / "pairs.jsonl", "w", encoding="utf-8") as file:
        for record in list(read_preferences(PHOTOS / "train.jsonl"))[:6]:
            row = {"question": record.question, "chosen": better, "rejected": other}
            file.write(json.dumps(row | {"image": record.media[0].uri}) + "\n")
    given = ["source=plain", f"source.root={tmp_path}/in", f"source.media_root={PHOTOS}"]
    for command in (
        ["r1reward.tools.convert", *given, f"out={tmp_path}/a"],
        ["r1reward.tools.validate", f"files=[{tmp_path}/a]", "fix=true", f"out={tmp_path}/b"],
        [
            "r1reward.tools.decontaminate",
            f"input={tmp_path}/b",
            "benchmarks=[photos]",
            f"out={tmp_path}/c",
        ],
        ["r1reward.tools.mix", f"inputs=[{tmp_path}/c]", f"out={tmp_path}/d"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=REPO, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    rows = [
        row for record in (tmp_path / "d").rglob("*.parquet") for row in read_preferences(record)
    ]
    contents = {path.read_bytes() for path in (PHOTOS / "images").iterdir()}
    assert 0 < len(rows) <= 6
    for row in rows:
        assert base64.b64decode(row.media[0].uri.partition(",")[2]) in contents
