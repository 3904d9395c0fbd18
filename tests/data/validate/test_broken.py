"""Every broken thing is named with its reason and stops nothing else."""

import base64
import hashlib
import json
from collections import Counter

import pyarrow.parquet as pq
from support.broken import record, write
from support.validate import found

from r1reward.core.preferences import parse_preference, read_preferences
from r1reward.data.validate.findings import ERRORS, WARNINGS
from r1reward.store.shards import read_manifest


def test_every_broken_thing_is_named_and_stops_nothing_else(run, tmp_path):
    cases = write(tmp_path)
    files = ",".join(
        str(tmp_path / name)
        for name in ("half.parquet", "rows.jsonl", "text.parquet", "empty.jsonl")
    )
    status, lines = run(
        f"files=[{files}]", "max_tokens=2000", f"report={tmp_path}/all.jsonl", "shown=0"
    )
    assert status == 1
    rows, rest = found(tmp_path / "all.jsonl")
    for case in cases:
        findings = rows.pop(case.row, [])
        kinds = [kind for kind, _ in findings]
        assert [k for k in kinds if k in ERRORS] == [case.error] * bool(case.error), case.name
        assert sorted(k for k in kinds if k in WARNINGS) == sorted(case.warnings), case.name
        assert case.says in "\n".join(detail for _, detail in findings), case.name
    assert rows == {}
    assert {place: [kind for kind, _ in findings] for place, findings in rest.items()} == {
        "half.parquet": ["unreadable"],
        "empty.jsonl": ["empty"],
        "text.parquet:2": ["unreadable"],
    }
    bad = [line for line in lines if line.startswith("bad")]
    assert len(bad) == sum(case.error is not None for case in cases) + 3
    assert len(lines) - len(bad) == len({kind for case in cases for kind in case.warnings})
    assert all(len(line) < 1000 for line in lines)


def test_the_good_rows_of_broken_files_are_a_data_set(run, tmp_path):
    source, out = tmp_path / "in", tmp_path / "sets" / "good"
    source.mkdir()
    cases = write(source)
    before = {path: path.read_bytes() for path in source.glob("*.*") if path.is_file()}
    files = f"files=[{source}/rows.jsonl,{source}/text.parquet,{source}/half.parquet]"
    status, _ = run(files, "max_tokens=2000", "fix=true", f"out={out}")
    assert status == 0
    assert {path: path.read_bytes() for path in before} == before

    kept = [case for case in cases if case.error is None]
    original = (source / "rows.jsonl").read_bytes().splitlines()
    expected = [json.loads(original[case.row - 1]) for case in kept]
    expected.append(record(2000, question="What is good?"))
    records = list(read_preferences(out))
    assert [item.question for item in records] == [row["question"] for row in expected]
    assert [list(item.responses) for item in records] == [row["responses"] for row in expected]
    assert [item.label for item in records] == [row["label"] for row in expected]
    inline = expected[[case.name for case in kept].index("base64 with white space")]
    content = base64.b64decode(inline["media"][0]["uri"].partition(",")[2])
    embedded = [m for row in pq.read_table(out / "part-00000.parquet")["media"] for m in row]
    assert [m["bytes"].as_py() for m in embedded if m["bytes"].as_py()] == [content]
    assert [m["uri"].as_py() for m in embedded if m["uri"].as_py()] == [
        row["media"][0]["uri"] for row in expected if row is not inline
    ]

    quarantine = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert [line["where"] for line in quarantine] == [
        f"{source}/half.parquet",
        *(f"{source}/rows.jsonl:{case.row}" for case in cases if case.error),
        f"{source}/text.parquet:2",
    ]
    by_row = {line["where"].rpartition(":")[2]: line for line in quarantine[1:-1]}
    for case in cases:
        if case.error:
            line = by_row[str(case.row)]
            assert case.error in [reason["kind"] for reason in line["reasons"]]
            raw = original[case.row - 1]
            if case.error == "unreadable":
                assert line["row"] == raw.decode("utf-8", "backslashreplace")
            else:
                assert line["row"] == json.loads(raw)
            if case.error in ("media", "duplicate"):
                assert line["uid"] == parse_preference(json.loads(raw), where="").uid

    manifest = read_manifest(out)
    assert manifest["rows"] == len(expected)
    assert manifest["dropped"] == len(quarantine) - 1
    assert manifest["reasons"] == Counter(case.error for case in cases if case.error) + Counter(
        unreadable=1
    )
    assert manifest["sources"] == {"broken": len(expected)}
    assert manifest["media_root"] == str(source)
    assert (
        manifest["inputs"][0]["sha256"] == hashlib.sha256(before[source / "rows.jsonl"]).hexdigest()
    )
    assert run(out, f"media_root={source}", "max_tokens=2000")[0] == 0
