"""Rows on their way through the tools: files stay files, and parts of a text keep their places."""

import base64
import json
import subprocess
import sys

import pytest
from PIL import Image

from r1reward.config.compose import REPO
from r1reward.core.fields import PreferenceError
from r1reward.core.pair import Media, Preference, text_of
from r1reward.core.preferences import read_preferences
from r1reward.core.rows import RowError, scan_rows
from r1reward.data.shard_rows import read_row, shard_row
from r1reward.store.shards import files_in, write_shard

JPEG, PNG = b"\xff\xd8jpeg", b"\x89PNG"
PLAIN = {
    "question": "What is it?",
    "responses": ["A cat.", "A dog."],
    "label": 2,
    "media": [
        {"kind": "image", "uri": "a.jpg"},
        {"kind": "image", "uri": None, "bytes": JPEG},
        {"kind": "image", "uri": "named.png", "bytes": PNG},
        {"kind": "image", "uri": "data:image/png;base64," + base64.b64encode(PNG).decode()},
        {"kind": "video", "uri": "clip"},
    ],
    "source": "test",
}
TEXT, PHOTO = {"kind": "text", "text": "Look: "}, {"kind": "image", "uri": "b.jpg"}
WITHIN = PLAIN | {
    "question": [TEXT, PLAIN["media"][1]],
    "responses": ["A cat.", [PHOTO, TEXT, PHOTO | {"bytes": PNG}]],
    "media": [PHOTO],
}


def file(kind, uri, content):
    return {"kind": kind, "uri": uri, "bytes": content}


def test_images_that_a_row_carries_become_files():
    preference, row = shard_row("here:1", PLAIN)
    assert row == {
        "question": "What is it?",
        "responses": ["A cat.", "A dog."],
        "label": 2,
        "media": [
            file("image", "a.jpg", None),
            file("image", None, JPEG),
            file("image", "named.png", PNG),
            file("image", None, PNG),
            file("video", "clip", None),
        ],
        "source": "test",
        "parts": None,
    }
    assert [one.kind for one in preference.all_media()] == ["image"] * 4 + ["video"]


def test_parts_have_a_column_and_their_texts_show_the_places():
    _, row = shard_row("here:1", WITHIN)
    assert row["question"] == "Look: <image>"
    assert row["responses"] == ["A cat.", "<image>Look: <image>"]
    assert row["parts"] == [
        [TEXT, file("image", None, JPEG)],
        [{"kind": "text", "text": "A cat."}],
        [file("image", "b.jpg", None), TEXT, file("image", "b.jpg", PNG)],
    ]
    assert files_in(row) == [
        file("image", "b.jpg", None),
        file("image", None, JPEG),
        file("image", "b.jpg", None),
        file("image", "b.jpg", PNG),
    ]


def test_a_shard_gives_back_what_it_was_given(tmp_path):
    rows = [shard_row("here:1", row)[1] for row in (PLAIN, WITHIN)]
    write_shard(tmp_path / "a.parquet", rows)
    plain, within = read_preferences(tmp_path / "a.parquet")
    jpeg, png = Media.embedded(JPEG), Media.embedded(PNG)
    photo = Media("image", "b.jpg")
    assert plain.media == (Media("image", "a.jpg"), jpeg, png, png, Media("video", "clip"))
    assert within == Preference(
        ("Look: ", jpeg), ("A cat.", (photo, "Look: ", png)), (photo,), label=2, source="test"
    )
    # Again, from the shard's own row.
    raw = [row for _, row in scan_rows(tmp_path / "a.parquet")]
    assert [shard_row("there:1", row)[1] for row in raw] == rows


def test_an_annotation_travels_with_its_row():
    annotated = PLAIN | {"attempts": 3, "solved": True, "reasoning": "Since.", "origin": "7"}
    preference, row = read_row("here:1", annotated)
    assert {name: row[name] for name in ("attempts", "solved", "reasoning", "origin")} == {
        **{"attempts": 3, "solved": True, "reasoning": "Since.", "origin": "7"}
    }
    assert preference.label == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (RowError("here:1: not JSON"), "here:1: not JSON"),
        (PLAIN | {"label": 3}, "here:1: label=3"),
        (PLAIN | {"media": [PHOTO | {"uri": "data:image/png;base64,#"}]}, "not base64"),
        (PLAIN | {"media": [PHOTO | {"uri": "data:image/png;base64,"}]}, "without base64 content"),
        (PLAIN | {"attempts": 0, "solved": True}, "attempts=0, solved=True; give 1 to 127"),
        (PLAIN | {"attempts": 1}, "attempts=1, solved=None"),
        (PLAIN | {"origin": 7}, "origin=7; give a text"),
        (PLAIN | {"reasoning": "a\ud800"}, "reasoning holds"),
    ],
)
def test_a_row_that_cannot_be_read_is_an_error(row, message):
    with pytest.raises(PreferenceError, match=message):
        read_row("here:1", row)


# --- through the tools


def run(*command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=REPO, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_parts_go_through_every_tool(tmp_path):
    """Checked, cleaned, annotated and mixed, with the order of half of the rows drawn anew."""
    given = []
    for number in range(12):
        for name in "qab":
            color = (20 * number, 255 - 20 * number, 80 * "qab".index(name))
            Image.new("RGB", (60, 60), color).save(tmp_path / f"{name}{number}.png")
        shown = {name: {"kind": "image", "uri": f"{name}{number}.png"} for name in "qab"}
        first = [{"kind": "text", "text": f"Drawing {number}: "}, shown["a"]]
        second = [shown["b"], {"kind": "text", "text": " is mine."}]
        row = {"question": [shown["q"], {"kind": "text", "text": f"Draw thing {number}."}]}
        row |= {"responses": [first, second], "label": 1 + number % 2, "source": "drawings"}
        given.append(row)
    with open(tmp_path / "rows.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in given)
    a, b, c, d = (str(tmp_path / name) for name in "abcd")
    tool = "r1reward.tools."
    checked = [f"files=[{tmp_path}/rows.jsonl]", "max_tokens=3000", "fix=true", f"out={a}"]
    run(tool + "validate", *checked)
    run(tool + "decontaminate", f"input={a}", "benchmarks=[photos]", f"out={b}")
    run(tool + "annotate", f"input={b}", f"out={c}", "judge=random")
    run(tool + "mix", f"inputs=[{c}]", f"out={d}", "select.reorder=true")
    found = list(read_preferences(tmp_path / "d" / "train"))
    assert len(found) == 12
    assert {one.label for one in found} == {1, 2}
    for one in found:
        number = int(text_of(one.question).removeprefix("<image>Draw thing ").removesuffix("."))
        texts = {"a": f"Drawing {number}: <image>", "b": "<image> is mine."}
        order = "ab" if text_of(one.responses[0]) == texts["a"] else "ba"
        assert [text_of(response) for response in one.responses] == [texts[name] for name in order]
        assert order[one.label - 1] == "ab"[number % 2], "the better one stays the better one"
        stored = [base64.b64decode(media.uri.partition(",")[2]) for media in one.all_media()]
        names = [f"{name}{number}.png" for name in f"q{order}"]
        assert stored == [(tmp_path / name).read_bytes() for name in names]
