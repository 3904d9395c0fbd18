"""Rows and files that cannot be used are named and stop nothing else."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.convert import job, pair, quarantined, run, write

from r1reward.core.preferences import read_preferences
from r1reward.data.convert.run import ConvertError
from r1reward.store.shards import read_manifest


def test_bad_rows_are_quarantined_with_their_reason_and_counted(tmp_path):
    good, bad = json.dumps(pair(1)).encode(), json.dumps(pair(2, chosen="\ud800x")).encode()
    lines = [
        good,
        b"",
        b'{"question": "torn',
        b'"\xff\xfe"',
        b"[1, 2]",
        b'{"prompt": "q", "label": "3"}',
        json.dumps(pair(3, rejected="Better 3. ")).encode(),
        json.dumps(pair(4, question=" ")).encode(),
        json.dumps(pair(5, chosen=["a"])).encode(),
        bad,
        json.dumps(pair(6, question="long " * 200_000)).encode(),
    ]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(b"\n".join(lines))
    done = run(tmp_path / "out", job(tmp_path / "in"), shard_rows=4)
    found = [
        (line["where"].rpartition(":")[2], line["reason"]) for line in quarantined(tmp_path / "out")
    ]
    assert found == [
        ("3", "unreadable"),
        ("4", "unreadable"),
        ("5", "schema"),
        ("6", "schema"),
        ("7", "equal"),
        ("8", "text"),
        ("9", "text"),
        ("10", "text"),
    ]
    assert done.total.rows == 10
    assert done.total.records == 2, "a text of 1 MB is a text"
    manifest = read_manifest(tmp_path / "out")
    assert manifest["dropped"] == {"unreadable": 2, "schema": 2, "equal": 1, "text": 3}
    assert (manifest["rows"], manifest["records"]) == (10, 2)
    assert "found: prompt, label" in quarantined(tmp_path / "out")[3]["detail"]


def test_a_half_written_file_is_quarantined_and_the_others_go_through(tmp_path):
    (tmp_path / "in").mkdir()
    rows = list(map(pair, range(30)))
    for name in ("a", "b", "c"):
        pq.write_table(
            pa.Table.from_pylist(rows), tmp_path / "in" / f"{name}.parquet", row_group_size=10
        )
    torn, damaged = tmp_path / "in" / "a.parquet", tmp_path / "in" / "b.parquet"
    torn.write_bytes(torn.read_bytes()[:-30])
    content = bytearray(damaged.read_bytes())
    place = pq.read_metadata(damaged).row_group(1).column(0).data_page_offset
    content[place : place + 12] = b"\xff" * 12
    damaged.write_bytes(content)
    done = run(tmp_path / "out", job(tmp_path / "in", files=["*.parquet"]), shard_rows=10)
    assert done.total.records == 20 + 30
    assert done.total.dropped == {"unreadable": 2}
    first, second = quarantined(tmp_path / "out")
    assert (first["where"], second["where"]) == (str(torn), str(damaged))
    assert "not a readable parquet file" in first["detail"]
    names = sorted(path.name for path in (tmp_path / "out").glob("*.parquet"))
    assert names == [f"part-0000{n}.parquet" for n in (0, 2, 3, 4, 5)], "unit 1 gave nothing"
    assert len(list(read_preferences(tmp_path / "out"))) == 50


def test_nothing_to_convert_is_said(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(ConvertError, match=r"plain: no file \*\.jsonl below"):
        run(tmp_path / "out", job(tmp_path / "in"))
    write(tmp_path / "in" / "a.jsonl", [{"prompt": "q"}] * 3)
    with pytest.raises(
        ConvertError, match=r"no record came of 3 rows \(schema 3\); the first: .*prompt"
    ):
        run(tmp_path / "out", job(tmp_path / "in"))
    assert read_manifest(tmp_path / "out") is None
    write(tmp_path / "in" / "a.jsonl", [pair(1)])
    run(tmp_path / "out", job(tmp_path / "in", seed=1))  # the folder is free again
