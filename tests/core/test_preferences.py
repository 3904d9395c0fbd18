"""Preferences from rows: both schemas, both file formats, and what is said about bad rows."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.released import released

from r1reward.core.fields import PreferenceError
from r1reward.core.pair import Media, Preference, joined
from r1reward.core.preferences import (
    parse_preference,
    read_preferences,
    refuse_parts_in_jsonl,
    scan_preferences,
)

RECORD = Preference(
    question="Wie viele Bäume?",
    responses=("Zwei.", "Drei."),
    label=2,
    media=(Media("image", "a.jpg"), Media("video", "clip")),
    source="photos",
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
MEDIA = st.builds(Media, st.sampled_from(["image", "video"]), TEXTS)
CONTENTS = TEXTS | st.lists(TEXTS | MEDIA, min_size=1, max_size=4).map(joined)
PREFERENCES = st.builds(
    Preference,
    question=CONTENTS,
    responses=st.tuples(CONTENTS, CONTENTS),
    media=st.lists(MEDIA, max_size=3).map(tuple),
    label=st.sampled_from([1, 2]),
    source=TEXTS,
)
OURS = RECORD.to_row()


def write_jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_row(row):
    return parse_preference(row, where="here:1")


# --- rows


@given(PREFERENCES)
def test_a_preference_survives_its_row(preference):
    again = read_row(json.loads(json.dumps(preference.to_row())))
    assert again == preference
    assert again.uid == preference.uid


PHOTO = {"kind": "image", "uri": "b.jpg"}
SAID = {"kind": "text", "text": "Drei."}


def test_a_text_may_be_a_list_of_parts():
    row = OURS | {"question": [SAID, PHOTO, SAID, SAID], "responses": ["Zwei.", [PHOTO]]}
    found = read_row(row)
    assert found.question == ("Drei.", Media("image", "b.jpg"), "Drei.Drei.")
    assert found.responses == ("Zwei.", (Media("image", "b.jpg"),))
    assert read_row(OURS | {"responses": [[{"kind": "text", "text": "Zwei."}], "Drei."]}) == RECORD


def test_a_column_of_parts_takes_the_place_of_the_texts():
    column = [[SAID], [PHOTO | {"bytes": b"jpeg", "text": None}], [PHOTO, SAID]]
    found = read_row(OURS | {"question": "Shown <image>", "parts": column})
    assert found.question == "Drei."
    assert found.responses[0] == (Media("image", "data:image;base64,anBlZw=="),)
    assert found.responses[1] == (Media("image", "b.jpg"), "Drei.")
    assert read_row(OURS | {"parts": None}) == RECORD


def test_training_refuses_jsonl_with_parts_and_names_the_row(tmp_path):
    rows = [OURS, OURS | {"question": "parts"}, {"bad": 1}, OURS | {"responses": ["a", [PHOTO]]}]
    refuse_parts_in_jsonl(write_jsonl(tmp_path / "plain.jsonl", *rows[:3]))
    path = write_jsonl(tmp_path / "rows.jsonl", *rows, rows[3])
    with pytest.raises(PreferenceError, match=r"rows\.jsonl:4: images within a text; .* shards"):
        refuse_parts_in_jsonl(path)


# --- files


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("rows", [[OURS, OURS | {"media": []}], [released(), released("A cow.")]])
def test_both_formats_hold_both_schemas(tmp_path, suffix, rows):
    path = tmp_path / f"rows.{suffix}"
    if suffix == "jsonl":
        write_jsonl(path, *rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    assert list(read_preferences(path)) == [read_row(row) for row in rows]


def test_rows_are_numbered_as_an_editor_numbers_lines(tmp_path):
    path = tmp_path / "rows.jsonl"
    good = json.dumps(OURS).encode()
    path.write_bytes(b"\n" + good + b"\r\n\n  \n{}\n" + good)  # no newline at the end
    where = [where for where, _ in scan_preferences(path)]
    assert where == [f"{path}:2", f"{path}:5", f"{path}:6"]
    assert [type(item) for _, item in scan_preferences(path)] == [
        Preference,
        PreferenceError,
        Preference,
    ]


@pytest.mark.parametrize(
    "line",
    [b'{"question": "Wh', b"{'question': 1}", b"[" * 200_000, b'"\xff\xfe"', b"\x00", b"1" * 9000],
    ids=["cut", "quotes", "nested", "bad UTF-8", "zero byte", "long number"],
)
def test_a_line_that_is_not_json_is_one_bad_row(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    good = json.dumps(OURS).encode()
    path.write_bytes(good + b"\n" + line + b"\n" + good + b"\n" + line)  # also as the last line
    rows = dict(scan_preferences(path))
    assert [type(row) for row in rows.values()] == [
        Preference,
        PreferenceError,
        Preference,
        PreferenceError,
    ]
    for number in (2, 4):
        assert str(rows[f"{path}:{number}"]).startswith(f"{path}:{number}: not a JSON object")


@given(
    content=st.binary() | st.lists(st.sampled_from([b"{}", b"\n", b" ", b"{", b"1"])).map(b"".join)
)
def test_any_bytes_give_one_item_for_each_line_that_is_not_blank(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_bytes(content)
    assert len(list(scan_preferences(path))) == sum(
        bool(line.strip()) for line in content.split(b"\n")
    )


def test_parquet_rows_are_numbered_across_batches_and_row_groups(tmp_path):
    rows = [OURS | {"question": f"Question {n}?"} for n in range(200)]
    rows[149]["label"] = 3
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=70)
    items = list(scan_preferences(tmp_path / "rows.parquet"))
    assert [
        number for number, (_, item) in enumerate(items) if isinstance(item, PreferenceError)
    ] == [149]
    assert str(items[149][1]).startswith(f"{tmp_path / 'rows.parquet'}:150: label=3")
    assert items[199][1].question == "Question 199?"


def test_parquet_with_bad_utf8_has_one_bad_row(tmp_path):
    table = pa.Table.from_pylist([OURS] * 3)
    bad = pa.array([b"ok", b"\xff\xfe", b"ok"]).view(pa.string())
    pq.write_table(table.set_column(0, "question", bad), tmp_path / "rows.parquet")
    first, second, third = (item for _, item in scan_preferences(tmp_path / "rows.parquet"))
    assert (first.question, third.question) == ("ok", "ok")
    assert str(second).startswith(f"{tmp_path / 'rows.parquet'}:2: a column is not text")


@pytest.mark.parametrize("keep", [0, 3, 500])
def test_not_parquet(tmp_path, keep):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([OURS]), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(PreferenceError, match=r"rows\.parquet: not a readable parquet file"):
        list(scan_preferences(path))


def test_parquet_with_damaged_pages(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([OURS] * 10), path)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 200 + content[204:])  # the footer stays whole
    with pytest.raises(PreferenceError, match=r"rows\.parquet: not a readable parquet file"):
        list(scan_preferences(path))


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.parquet", "rows.json", "folder.jsonl"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    (tmp_path / "rows.json").write_text("[]")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(PreferenceError, match=name.replace(".", r"\.")):
        list(scan_preferences(tmp_path / name))


def test_reading_stops_at_the_first_bad_row(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", OURS, OURS | {"label": 0}, OURS)
    rows = read_preferences(path)
    assert next(rows) == RECORD
    with pytest.raises(PreferenceError, match=r"rows\.jsonl:2: label=0"):
        next(rows)


# --- bad rows: (row, what the message names)

BAD_ROWS = [
    ("text", "expected an object of fields, found 'text'"),
    ([OURS], "expected an object"),
    (None, "expected an object"),
    ({}, "no question, responses, label, source"),
    (
        {"question": "Q", "chosen": "a"},
        r"no responses, label, source; .* \(found: question, chosen",
    ),
    (OURS | {"question": None}, "no question"),
    (OURS | {"question": " \n"}, "question=' "),
    (OURS | {"question": 5}, "question=5"),
    (OURS | {"question": "a\ud800b"}, r"question holds '\\ud800'"),
    (OURS | {"responses": "AB"}, "responses='AB'"),
    (OURS | {"responses": ["a"]}, "responses=.*exactly two"),
    (OURS | {"responses": ["a", "b", "c"]}, "responses=.*exactly two"),
    (OURS | {"responses": ["a", ""]}, r"responses\[1\]=''"),
    (OURS | {"responses": [None, "b"]}, r"responses\[0\]=None"),
    (OURS | {"question": []}, "question=''"),
    (OURS | {"responses": ["a", ["b"]]}, r"responses\[1\]\[0\] is 'b'"),
    (OURS | {"responses": [[{"kind": "text"}], "b"]}, r"responses\[0\]\[0\] is {'kind': 'text'}"),
    (OURS | {"responses": [[{"kind": "audio"}], "b"]}, r"responses\[0\]\[0\] is .*'audio'"),
    (OURS | {"responses": [[{"kind": "image"}], "b"]}, r"responses\[0\]\[0\] uri=None"),
    (OURS | {"question": [PHOTO, {"kind": "text", "text": "\ud800"}]}, r"question\[1\] holds"),
    (OURS | {"parts": [[SAID], [SAID]]}, r"parts=\[\["),
    (OURS | {"parts": [[SAID], [SAID], []]}, r"responses\[1\]=''"),
    (OURS | {"label": 0}, "label=0; give 1 or 2"),
    (OURS | {"label": 3}, "label=3"),
    (OURS | {"label": "1"}, "label='1'"),
    (OURS | {"label": True}, "label=True"),
    (OURS | {"label": 1.5}, "label=1.5"),
    (OURS | {"label": [1]}, r"label=\[1\]"),
    (OURS | {"source": ""}, "source=''"),
    (OURS | {"media": "a.jpg"}, "media='a.jpg'"),
    (OURS | {"media": {"kind": "image", "uri": "a"}}, "media={"),
    (OURS | {"media": ""}, "media=''"),
    (OURS | {"media": 0}, "media=0"),
    (OURS | {"media": ["a.jpg"]}, "media holds 'a.jpg'"),
    (OURS | {"media": [{"kind": "audio", "uri": "a"}]}, "media holds .*'audio'"),
    (OURS | {"media": [{"kind": "image"}]}, "media uri=None"),
    (released(question=None), "question=None"),
    (released(message=""), "message=''"),
    (released(message=None), "message=None"),
    (released(message="[{"), r"message='\[{'"),
    (released(message="[" * 200_000), r"message='\[\["),
    (released(message="{}"), "message='{}'"),
    (released(message='[{"role": "user", "content": [null]}]'), "message="),
    (released(message='[{"role": "user", "content": [{"type": "text"}]}]'), "message="),
    (released(message='[{"role": "user", "content": [{"type": "text", "text": 1}]}]'), "message="),
    (
        released(message='[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]'),
        "one",
    ),
    (released(" "), r"\[Response 1\]=''"),
    (released(second="\n"), r"\[Response 2\]=''"),
    (released(answer=None), "answer=None"),
    (released(answer=[]), r"answer=\[\]"),
    (released(answer=2), "answer=2"),
    (released(answer=["2"]), r"answer=\['2'\]"),
    (released(answer=["<answer>3</answer>"]), "answer="),
    (released(answer=["<answer>２</answer>"]), "answer="),
    (released(answer=["<answer>1</answer>", "<answer>2</answer>"]), "answer="),
    (released(image=7), "image=7"),
    (released(image={"bytes": "x", "path": "y"}), "image={"),
]


@pytest.mark.parametrize(("row", "names"), BAD_ROWS)
def test_a_bad_row_is_located_and_its_field_named(tmp_path, row, names):
    path = write_jsonl(tmp_path / "rows.jsonl", OURS, row)
    (_, good), (where, bad) = scan_preferences(path)
    assert good == RECORD
    assert isinstance(bad, PreferenceError)
    assert where == f"{path}:2"
    assert str(bad).startswith(f"{path}:2: ")
    assert len(str(bad)) < len(str(path)) + 250  # however long the row is
    with pytest.raises(PreferenceError, match=names):
        read_row(row)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.sampled_from([OURS, released()]),
    st.dictionaries(st.sampled_from([*OURS, "parts", *released()]), JSON, max_size=3),
)
def test_nothing_but_a_preference_or_its_error_comes_of_a_row(row, damage):
    try:
        outcome = read_row(row | damage)
    except PreferenceError as error:
        outcome = error
    if isinstance(outcome, Preference):
        assert read_row(outcome.to_row()) == outcome
    else:
        assert str(outcome).startswith("here:1: ")
