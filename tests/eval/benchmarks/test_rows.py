"""Rows of a benchmark's files: any format, and errors that name file, row and key."""

import pytest
from support import eval_oracles as oracles
from support.benchmarks import read, save, write

from r1reward.eval.benchmarks.rows import BenchmarkError, read_rows
from r1reward.eval.benchmarks.vlrewardbench import VLRewardBench


def test_only_the_columns_asked_for_are_read(tmp_path):
    oracles.parquet(tmp_path / "rows.parquet", [{"id": "a", "image": {"bytes": b"x"}}] * 40)
    rows = list(read_rows(tmp_path / "rows.parquet", ("id", "video")))
    assert rows[39] == (f"{tmp_path}/rows.parquet:40", {"id": "a"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b'{"id": 1}\n{"id": ', r"rows\.jsonl:2: not a JSON object"),
        ("rows.jsonl", b'{"id": 1}\n[1]\n', r"rows\.jsonl:2: expected an object, found \[1\]"),
        ("rows.json", b'[{"id": 1}', r"rows\.json:2: the list is torn here"),
        ("rows.json", b'{"id": 1}', r"rows\.json: not a JSON list"),
        ("rows.parquet", b"PAR1 and no more", r"rows\.parquet: not a readable parquet file"),
        ("rows.jsonl", None, r"rows\.jsonl: cannot be read \(No such file"),
        ("rows.parquet", None, r"rows\.parquet: cannot be read \("),
    ],
)
def test_damaged_files_are_named(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchmarkError, match=message):
        list(read_rows(tmp_path / name))


@pytest.mark.parametrize("key", ["id", "prompt", "chosen", "rejected", "image"])
def test_a_key_that_is_null_or_not_there_is_named(key, tmp_path):
    rows = read(write(tmp_path, oracles.vlrb_seed) / "vl_rewardbench.jsonl")
    rows[4][key] = None
    del rows[5][key]
    for number in (4, 5):
        save(tmp_path / "vl_rewardbench.jsonl", rows[number:])
        with pytest.raises(BenchmarkError, match=rf":1: no {key}; found "):
            next(VLRewardBench(tmp_path)._items())
