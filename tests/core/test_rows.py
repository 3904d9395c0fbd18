"""Rows in files and in units: every row once, numbered as in the file, whatever the unit size."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1reward.core import rows
from r1reward.core.rows import RowError, Unit, cut, files_of, read_unit, scan_rows, units

SIZES = [1, 2, 3, 7, 4096]


def in_units(path, size):
    return [pair for unit in units(path, size) for pair in read_unit(unit)]


def shown(pairs):
    """Rows and errors in a form that compares."""
    return [(where, str(row) if isinstance(row, RowError) else row) for where, row in pairs]


def parquet(path, count, group=5, **columns):
    table = pa.Table.from_pylist([{"id": n, "text": f"row {n}"} for n in range(count)])
    for name, values in columns.items():
        table = table.append_column(name, values)
    pq.write_table(table, path, row_group_size=group)
    return path


# --- units


@pytest.mark.parametrize("size", SIZES)
def test_units_of_jsonl_hold_every_row_once_with_its_line_number(tmp_path, size):
    path = tmp_path / "a.jsonl"
    lines = [b'{"n": 1}', b"", b'{"n": 3}\r', b"  ", b"{bad", b'"\xff\xfe"', b'{"n": 7}']
    path.write_bytes(b"\n".join(lines))  # no newline at the end
    found = in_units(path, size)
    assert [where for where, _ in found] == [f"{path}:{n}" for n in (1, 3, 5, 6, 7)]
    assert [row for _, row in found if not isinstance(row, RowError)] == [
        {"n": 1},
        {"n": 3},
        {"n": 7},
    ]
    assert [str(row)[: len(str(path)) + 3] for _, row in found if isinstance(row, RowError)] == [
        f"{path}:5:",
        f"{path}:6:",
    ]


@settings(max_examples=60)
@given(
    lines=st.lists(
        st.sampled_from([b"{}", b"", b" ", b"{", b"\xff", b'{"a": "' + b"x" * 50 + b'"}'])
    ),
    end=st.sampled_from([b"", b"\n", b"\n\n"]),
    size=st.sampled_from(SIZES),
)
def test_units_are_what_a_scan_reads(tmp_path_factory, lines, end, size):
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    path.write_bytes(b"\n".join(lines) + end)
    assert shown(in_units(path, size)) == shown(scan_rows(path))


@pytest.mark.parametrize("size", SIZES)
def test_jsonl_units_adjoin_and_are_no_larger_than_asked(tmp_path, size):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(50)))
    found = units(path, size)
    assert [unit.start for unit in found] == [0, *[unit.stop for unit in found[:-1]]]
    assert found[-1].stop == path.stat().st_size
    counts = [len(list(read_unit(unit))) for unit in found]
    assert sum(counts) == 50
    assert set(counts[:-1]) <= {size}
    assert max(counts) <= size


def test_a_unit_of_long_lines_ends_by_its_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "_UNIT_BYTES", 100)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"a": "x" * 300}) + "\n" + '{"a": 1}\n' * 4)
    assert [len(list(read_unit(unit))) for unit in units(path)] == [1, 4]
    assert shown(in_units(path, 4096)) == shown(scan_rows(path))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("count", "group"), [(23, 5), (23, 100), (1, 1), (20, 5)])
def test_units_of_parquet_hold_every_row_once_with_its_number(tmp_path, size, count, group):
    path = parquet(tmp_path / "a.parquet", count, group)
    found = in_units(path, size)
    assert [where for where, _ in found] == [f"{path}:{n}" for n in range(1, count + 1)]
    assert [row["id"] for _, row in found] == list(range(count))
    assert shown(found) == shown(scan_rows(path))


def test_parquet_units_are_whole_row_groups(tmp_path):
    found = units(parquet(tmp_path / "a.parquet", 23, 5), 7)
    assert [(unit.first, unit.start, unit.stop) for unit in found] == [
        (1, 0, 2),
        (11, 2, 4),
        (21, 4, 5),
    ]


def test_files_of_a_folder_follow_each_other(tmp_path):
    for name in ("b.jsonl", "a.jsonl"):
        (tmp_path / name).write_text('{"n": 1}\n{"n": 2}\n')
    (tmp_path / "manifest.json").write_text("{}")
    found = [where for where, _ in in_units(tmp_path, 1)]
    assert found == [f"{tmp_path}/{name}.jsonl:{n}" for name in "ab" for n in (1, 2)]
    parquet(tmp_path / "z.parquet", 2)
    (tmp_path / ".z.parquet.0123.part").write_bytes(b"torn")
    assert files_of(tmp_path) == [tmp_path / "z.parquet"]


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.parquet"])
def test_a_file_without_rows_has_no_units(tmp_path, name):
    path = tmp_path / name
    path.touch() if name.endswith("jsonl") else parquet(path, 0)
    assert units(path) == []
    assert list(scan_rows(path)) == []


# --- damage


@pytest.mark.parametrize("keep", [0, 3, 4, 200, -1])
def test_a_torn_parquet_file_is_named(tmp_path, keep):
    path = parquet(tmp_path / "a.parquet", 30)
    path.write_bytes(path.read_bytes()[:keep])
    for read in (lambda: units(path), lambda: list(scan_rows(path))):
        with pytest.raises(RowError, match=r"a\.parquet: not a readable parquet file"):
            read()


def test_damaged_pages_end_their_unit_and_no_other(tmp_path):
    path = parquet(tmp_path / "a.parquet", 30, 10)
    content = bytearray(path.read_bytes())
    place = pq.read_metadata(path).row_group(1).column(1).data_page_offset
    content[place : place + 12] = b"\xff" * 12
    path.write_bytes(content)
    first, second, third = units(path, 10)
    assert [row["id"] for _, row in read_unit(first)] == list(range(10))
    with pytest.raises(RowError, match=r"a\.parquet: not a readable parquet file"):
        list(read_unit(second))
    assert [row["id"] for _, row in read_unit(third)] == list(range(20, 30))


@pytest.mark.parametrize("limit", [1 << 24, 0])  # batches of texts, and of many images
def test_a_text_of_parquet_that_is_no_utf8_is_one_bad_row(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(rows, "_UNIT_BYTES", limit)
    bad = pa.array([b"ok", b"\xff\xfe", b"ok"] * 40).view(pa.string())
    path = parquet(tmp_path / "a.parquet", 120, 50, answer=bad)
    for size in (10, 4096):
        found = in_units(path, size)
        assert len(found) == 120
        wrong = [n for n, (_, row) in enumerate(found) if isinstance(row, RowError)]
        assert wrong == list(range(1, 120, 3))
        assert "a column is not text" in str(found[1][1])
        assert found[2][1] == {"id": 2, "text": "row 2", "answer": "ok"}


@pytest.mark.parametrize("name", ["none.jsonl", "none.parquet", "none.csv"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    for read in (units, lambda path: list(scan_rows(path))):
        with pytest.raises(RowError, match=name.replace(".", r"\.")):
            read(tmp_path / name)


# --- the .json list of a publisher

OBJECTS = st.lists(
    st.dictionaries(
        st.text(max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
            max_leaves=4,
        ),
        max_size=3,
    ),
    max_size=5,
)


@settings(max_examples=80)
@given(
    values=OBJECTS,
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
    buffer=st.sampled_from([1, 2, 5, 1 << 20]),
)
def test_a_list_is_read_object_by_object(tmp_path_factory, values, indent, ascii_only, buffer):
    path = tmp_path_factory.mktemp("any") / "a.json"
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    read = json.loads(path.read_bytes().decode("utf-8", "surrogateescape"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_BUFFER", buffer)
        found = [pair for unit in cut(path) for pair in read_unit(unit)]
    assert [row for _, row in found] == read
    assert [where for where, _ in found] == [f"{path}:{n + 1}" for n in range(len(values))]


@pytest.mark.parametrize(
    ("content", "good", "says"),
    [
        (b'[{"a": 1}, {"a":', 1, "a.json:2: not a JSON object; it and all that follows"),
        (b'[{"a": 1}, {"a": 2}', 2, "a.json:3: the list is torn here"),
        (b'[{"a": 1} {"a": 2}]', 1, "a.json:2: the list is torn here"),
        (b'[{"a": 1}, 7, {"a": 2}]', 1, "a.json:2: not a JSON object"),
        (b'[{"a": 1},]', 1, "a.json:2: not a JSON object"),
        (b'[{"a": ' + b"[" * 100_000, 0, "a.json:1: not a JSON object"),
    ],
)
def test_a_torn_list_gives_what_stands_before(tmp_path, content, good, says):
    (tmp_path / "a.json").write_bytes(content)
    *before, (_, last) = read_unit(Unit(tmp_path / "a.json", 1, 0, -1))
    assert [row for _, row in before] == [{"a": 1}, {"a": 2}][:good]
    assert says in str(last)


@pytest.mark.parametrize("content", [b"", b'{"a": [1]}', b"null", b"  "])
def test_what_is_no_list_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RowError, match=r"a\.json: not a JSON list of rows"):
        list(read_unit(Unit(tmp_path / "a.json", 1, 0, -1)))


def test_a_list_with_bad_utf8_has_one_bad_row(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf[{"a": "\xff"}, {"a": "\xc3\xa9"}]')
    found = [row for _, row in read_unit(Unit(tmp_path / "a.json", 1, 0, -1))]
    assert found == [{"a": "\udcff"}, {"a": "é"}]  # half a pair: no record may hold it
