"""The data set that is left when bad rows go."""

import base64
import json

import pyarrow as pa
import pyarrow.parquet as pq
from support.broken import encoded, photo, record

from r1reward.core.preferences import read_preferences
from r1reward.store.shards import SCHEMA, write_shard


def test_a_data_set_is_written_once_and_never_over_another(run, data, tmp_path):
    path, out = data(record(1), record(2, label=0)), tmp_path / "out"
    assert run(path, "fix=true", f"out={out}")[0] == 0
    made = {item.name: item.read_bytes() for item in out.iterdir()}
    status, lines = run(path, "fix=true", f"out={out}")
    assert (status, lines) == (0, [])  # nothing to do
    assert run(path, "fix=true", f"out={out}", "near_duplicates=null")[0] == 2
    data(record(1), record(3))
    status, lines = run(path, "fix=true", f"out={out}")
    assert status == 2
    assert f"out={out}: there is something else" in lines[0]
    assert {item.name: item.read_bytes() for item in out.iterdir()} == made
    assert run(path, "fix=true", f"out={path.parent}")[0] == 2
    assert run(path, "fix=true", f"out={path}")[0] == 2
    assert path.read_text().count("\n") == 2


def test_a_report_is_never_written_over_what_is_checked(run, data):
    path = data(record(1))
    before = path.read_text()
    status, lines = run(path, f"report={path.parent}/../data/rows.jsonl")
    assert status == 2
    assert "name another file" in lines[0]
    assert path.read_text() == before


def test_a_killed_run_leaves_nothing_that_the_next_one_keeps(run, data, tmp_path):
    path = data(record(1))
    left = tmp_path / ".out.part"
    left.mkdir()
    (left / "part-00007.parquet").write_bytes(b"half")
    assert run(path, "fix=true", f"out={tmp_path}/out")[0] == 0
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == [
        "manifest.json", "part-00000.parquet", "quarantine.jsonl"
    ]  # fmt: skip
    assert not left.exists()


def test_without_a_good_row_nothing_is_written(run, data, tmp_path):
    status, lines = run(data(record(1, label=0)), "fix=true", f"out={tmp_path}/out")
    assert status == 2
    assert "no good row is left" in lines[-1]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["data"]


def test_what_a_data_set_knows_of_a_row_stays(run, tmp_path):
    image = encoded(photo())
    media = [{"kind": "image", "uri": "from/there.png", "bytes": image}]
    known = {"origin": "row 7", "attempts": 3, "solved": True, "reasoning": "<think>"}
    rows = [record(1, media=media) | known, record(2, media=media), record(3, media=[])]
    source = tmp_path / "set"
    write_shard(source / "part-00000.parquet", rows)
    assert run(source, "fix=true", f"out={tmp_path}/out")[0] == 0
    [old, new] = [
        pq.read_table(folder / "part-00000.parquet") for folder in (source, tmp_path / "out")
    ]
    assert new.schema == SCHEMA
    assert new.to_pylist() == old.to_pylist()


def test_released_rows_become_records(run, data, tmp_path):
    image = base64.b64encode(encoded(photo())).decode()
    text = "#### [Question]:\nQ?\n\n#### [Response 1]:\nOne.\n\n#### [Response 2]:\nTwo."
    chat = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    row = {"question": "Q?", "message": json.dumps(chat), "image": image}
    path = data(row | {"answer": ["<answer>2</answer>"]}, row | {"answer": ["<answer>3</answer>"]})
    status, lines = run(path, "fix=true", f"out={tmp_path}/out")
    assert status == 0
    assert lines[0].startswith(f"bad {path}:2: label: answer=")
    [kept] = pq.read_table(tmp_path / "out" / "part-00000.parquet").to_pylist()
    assert (kept["responses"], kept["label"]) == (["One.", "Two."], 2)
    assert kept["media"] == [{"kind": "image", "uri": None, "bytes": base64.b64decode(image)}]


def test_media_of_different_folders_need_one_root(run, data, tmp_path):
    first = data(record(1))
    second = tmp_path / "rows.jsonl"
    second.write_text(json.dumps(record(2, media=[])))
    files = f"files=[{first},{second}]"
    status, lines = run(files, "fix=true", f"out={tmp_path}/out")
    assert status == 2
    assert "set media_root" in lines[0]
    assert run(files)[0] == 0


def test_a_file_that_is_damaged_in_its_middle_loses_only_that(run, data, tmp_path):
    path = data().with_name("torn.parquet")
    rows = [record(number, media=[]) for number in range(1800)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=600)
    column = pq.read_metadata(path).row_group(1).column(0)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset : column.data_page_offset + 200] = bytes(200)
    path.write_bytes(content)
    status, lines = run(path, "fix=true", f"out={tmp_path}/out", "near_duplicates=null")
    assert status == 0
    assert len(lines) == 1
    assert lines[0].startswith(f"bad {path}: unreadable: not a readable parquet file")
    kept = [item.question for item in read_preferences(tmp_path / "out")]
    assert kept == [row["question"] for row in rows[:600] + rows[1200:]]
    [lost] = (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(lost)["where"] == str(path)
