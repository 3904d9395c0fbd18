"""``r1reward validate``: every bad row with its reason, and what is left when they go."""

import base64
import hashlib
import json
import os
import random
import subprocess
import sys
import unicodedata
from collections import Counter
from fractions import Fraction
from math import comb

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from qwen_vl_utils import process_vision_info
from support.broken import encoded, photo, record, write
from transformers import AutoProcessor

from r1reward.config.compose import REPO
from r1reward.core.prompt import build_messages
from r1reward.core.record import Media, Record, read_records
from r1reward.core.rows import Unit
from r1reward.data import media_facts as pictures
from r1reward.data.media_facts import examine
from r1reward.data.prompt_length import LengthError, PromptLength
from r1reward.data.validate.findings import ERRORS, WARNINGS
from r1reward.data.validate.rows import (
    Rules,
    answers,
    check_unit,
    control,
    language_of,
)
from r1reward.data.validate.run import balance, coin, parts_of
from r1reward.data.workers import WorkerError, in_order
from r1reward.store.shards import SCHEMA, read_manifest, write_shard
from r1reward.tools.validate import main

MODEL = REPO / "recipes" / "tiny" / "checkpoint"
PHOTOS = REPO / "recipes" / "photos"
HEADS = ("bad", "warning", "error")


@pytest.fixture
def data(tmp_path):
    """Write a data file beside the photo ``good.png``; the folder is its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "good.png").write_bytes(encoded(photo()))

    def to_file(*rows, name="rows.jsonl"):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (folder / name).write_text("".join(line + "\n" for line in lines))
        return folder / name

    return to_file


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process; return its exit status and what it says of the rows."""

    def command(*arguments):
        arguments = [f"files={item}" if hasattr(item, "suffix") else item for item in arguments]
        monkeypatch.setattr(sys, "argv", ["validate", "workers=1", *arguments])
        try:
            main()
            status = 0
        except SystemExit as exited:
            status = exited.code
        printed = capsys.readouterr()
        lines = (printed.out + printed.err).splitlines()
        return status, [line for line in lines if line.startswith(HEADS)]

    return command


def found(path):
    """Return what a report file says: kinds by row of ``rows.jsonl``, and the rest by place."""
    rows, rest = {}, {}
    for line in path.read_text().splitlines():
        finding = json.loads(line)
        name, _, number = finding["where"].rpartition("/")[2].partition(":")
        place = rows if name == "rows.jsonl" and number else rest
        key = int(number) if place is rows else f"{name}:{number}" if number else name
        place.setdefault(key, []).append((finding["kind"], finding["detail"]))
    return rows, rest


# --- broken things


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
    records = list(read_records(out))
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
                assert line["uid"] == Record.from_row(json.loads(raw), where="").uid

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


# --- what is written


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
    kept = [item.question for item in read_records(tmp_path / "out")]
    assert kept == [row["question"] for row in rows[:600] + rows[1200:]]
    [lost] = (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(lost)["where"] == str(path)


# --- the command


def test_good_rows(run, data, capsys):
    status, lines = run(data(record(1), record(2), record(3, media=[])))
    assert (status, lines) == (0, [])


def test_every_bad_row_is_listed_with_its_number(run, data):
    path = data(record(1), record(2, label=3), "", '{"question', record(1), *(
        record(10 + n, label=0) for n in range(30)
    ))  # fmt: skip
    status, lines = run(path)
    assert status == 1
    assert [line.split(": ")[0] for line in lines] == [
        f"bad {path}:{number}" for number in (2, 4, *range(6, 36), 5)
    ]
    assert lines[0] == f"bad {path}:2: label: label=3; give 1 or 2, the better response"
    assert "not a JSON object" in lines[1]
    assert lines[-1] == (f"bad {path}:5: duplicate: the same record as {path}:1; keep one of them")


def test_the_first_of_equal_records_stays(run, data):
    # records of other numbers are similar; whether by 80% would be chance, as the photo is
    boats = record(2, question="How many boats are there?", responses=["Four.", "It is dry land."])
    sky = record(3, question="What colour is the sky?", responses=["Grey, with rain.", "Pink!"])
    first = data(record(1), boats, record(1), record(1), record(1, label=1))
    second = data(sky, boats, name="more.jsonl")
    _, lines = run(f"files=[{first},{second}]")
    assert [line for line in lines if "duplicate: the same" in line] == [
        f"bad {first}:3: duplicate: the same record as {first}:1; keep one of them",
        f"bad {first}:4: duplicate: the same record as {first}:1; keep one of them",
        f"bad {second}:2: duplicate: the same record as {first}:2; keep one of them",
    ]
    warned = [line for line in lines if line.startswith("warning")]
    assert [line.split(": ")[0] for line in warned] == [f"warning {first}:5"]  # another label


@pytest.mark.parametrize("text", ["[/]", "[red]", "[/nothing]", "[bold]x[/bold]", "\\[x]"])
def test_brackets_in_the_data_are_no_markup(run, data, text):
    path = data(record(1, source=text), record(2, label=text))
    status, lines = run(path)
    assert status == 1
    assert lines == [f"bad {path}:2: label: label={text!r}; give 1 or 2, the better response"]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_rows_is_bad(run, data, content):
    path = data(content)
    assert run(path) == (1, [f"bad {path}: empty: no rows; leave it out"])


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.parquet", "folder.jsonl", "rows.csv"])
def test_what_is_no_data_set_at_all(run, data, tmp_path, name):
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "rows.csv").write_text("a,b")
    status, lines = run(tmp_path / name)
    assert status == 2
    assert lines[0].startswith(f"error {tmp_path / name}: ")


def test_folders_are_data_sets(run, data):
    data(record(1), name="a.jsonl")
    second = data(record(2, label=0), name="b.jsonl")
    status, lines = run(second.parent)
    assert status == 1
    assert [line.split(": ")[0] for line in lines] == [f"bad {second}:1"]


def test_images_are_below_the_media_root_or_beside_the_file(run, data, tmp_path):
    path = data(record(1))
    (tmp_path / "elsewhere").mkdir()
    (path.parent / "good.png").rename(tmp_path / "elsewhere" / "good.png")
    assert run(path)[0] == 1
    assert run(path, f"media_root={tmp_path}/elsewhere")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give files="),
        (["files=[a.jsonl]", "data=photos"], "give files="),
        (["data=nonsense"], "data/nonsense"),
        (["files=a.jsonl", "max_token=3"], "max_token"),
        (["files=a.jsonl", "near_duplicates=1.5"], "near_duplicates=1.5"),
        (["files=a.jsonl", "near_duplicates=0"], "near_duplicates=0"),
        (["files=a.jsonl", "workers=0"], "workers=0"),
        (["files=a.jsonl", "languages=[en,xx]"], "languages: nobody knows xx"),
        (["files=a.jsonl", "fix=true"], "go together"),
        (["files=a.jsonl", "out=b"], "go together"),
        (["files=a.jsonl", "min_pixels=9", "max_pixels=8"], "min_pixels=9"),
    ],
)
def test_what_the_command_does_not_take(run, arguments, says):
    status, lines = run(*arguments)
    assert status == 2
    assert says in lines[0]


def test_a_model_without_a_processor(run, data, tmp_path):
    status, lines = run(data(record(1)), "max_tokens=9", f"processor={tmp_path}")
    assert status == 2
    assert f"model {tmp_path}: no Qwen2.5-VL processor" in lines[0]


def test_a_data_option_in_two_processes_and_in_one(run):
    command = [sys.executable, "-m", "r1reward.tools.validate", "data=photos", "workers=2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    table = [line.split("│")[1:3] for line in lines if line.startswith("│")]
    shown = {name.strip(): value.strip() for name, value in table}
    assert shown["rows"] == "1,232, 0 bad"  # wc -l of train.jsonl and validation.jsonl
    assert shown["labels"] == "label 1 616, label 2 616"
    assert shown["sources"] == "photos 1,232"
    found = [line for line in lines if line.startswith(HEADS)]
    assert len(found) == 21  # twenty near duplicates, and how many more
    assert run("data=photos") == (0, found)


def test_a_prompt_may_have_as_many_tokens_as_it_has(run, data, tmp_path):
    path = data(record(1), record(2, question="why " * 300))
    status, _ = run(path, "max_tokens=400", f"report={tmp_path}/all.jsonl")
    rows, _ = found(tmp_path / "all.jsonl")
    [(kind, detail)] = rows[2]
    tokens = int(detail.split()[0].replace(",", ""))
    assert (status, kind, list(rows)) == (1, "length", [2])
    assert detail.startswith(f"{tokens:,} tokens, {tokens - 400:,} too many")
    assert run(path, f"max_tokens={tokens}")[0] == 0
    assert run(path, f"max_tokens={tokens - 1}")[0] == 1


def test_a_process_that_is_killed_is_named():
    with pytest.raises(WorkerError, match="set fewer workers"):
        list(in_order(os._exit, [(1,), (1,)], 2))


# --- tokens


def counted(processor, item, root, **limits):
    """Return how many tokens the processor makes, pixels and all."""
    messages = build_messages(item, media_root=root, **limits)
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    images, _ = process_vision_info(messages, image_patch_size=14)
    return processor(text=[text], images=images, return_tensors="pt")["input_ids"].shape[1]


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(MODEL)


def test_the_tokens_of_photos_are_those_of_the_processor(processor):
    records = list(read_records(PHOTOS / "validation.jsonl"))[::9]
    for limits in ({}, {"min_pixels": 3136, "max_pixels": 12544}):
        length = PromptLength(str(MODEL), limits.get("min_pixels"), limits.get("max_pixels"))
        for item in records:
            seen = [examine(media, PHOTOS) for media in item.media]
            assert length.count(item, seen) == counted(processor, item, PHOTOS, **limits)


@pytest.mark.parametrize("limits", [(None, None), (3136, 12544), (3136, 501760), (50176, None)])
def test_the_tokens_of_any_images_and_texts_are_those_of_the_processor(processor, tmp_path, limits):
    rng, length = random.Random(0), PromptLength(str(MODEL), *limits)
    given = {name: n for name, n in zip(("min_pixels", "max_pixels"), limits, strict=True) if n}
    texts = ["Wie viele?", "图中有几只猫？", "a" * 500, " \n\t x", "{answer1}", "🙂 <b>", "\u200b?"]
    refused = 0
    for number in range(40):
        media = []
        for place in range(number % 4):
            size = [int(10 ** rng.uniform(0.4, 2.8)) for _ in range(2)]
            if max(size) <= 200 * min(size):
                Image.new("RGB", size).save(tmp_path / f"{number}-{place}.png")
                media.append(Media("image", f"{number}-{place}.png"))
        item = Record(rng.choice(texts), (rng.choice(texts), "B"), 1, tuple(media), "t")
        seen = [examine(medium, tmp_path) for medium in media]
        try:
            mine = length.count(item, seen)
        except LengthError:
            refused += 1
            with pytest.raises(ValueError, match=r"must be > 0|aspect ratio"):
                counted(processor, item, tmp_path, **given)
        else:
            assert mine == counted(processor, item, tmp_path, **given)
    assert (refused > 0) == (limits == (3136, 12544))


def test_control_tokens_are_those_of_the_tokenizer(processor):
    tokens = set(processor.tokenizer.get_added_vocab())
    assert len(tokens) > 10
    for token in sorted(tokens):
        [(kind, detail)] = control(Record("Q?", ("A.", f"so {token}."), 1, (), "t"))
        assert kind == "control"
        assert token in detail
    assert not [*control(Record("a <|b|> <|im_start|", ("<im_end>", "|>"), 1, (), "t"))]


# --- images


def test_a_file_is_decoded_once_however_many_rows_show_it(data, monkeypatch):
    path = data(*(record(number) for number in range(300)))
    opened = []
    real = pictures.open_image

    def counting(uri, root):
        opened.append(uri)
        return real(uri, root)

    monkeypatch.setattr(pictures, "open_image", counting)
    [part], _, _ = parts_of([path], None)
    report = check_unit(part.unit, part.root, Rules())
    assert (report.rows, report.media, len(opened)) == (300, 300, 1)


@pytest.mark.parametrize(
    ("name", "kind", "warned"),
    [
        ("a.jpg", "JPEG", False), ("a.JPEG", "JPEG", False), ("a.jpg", "MPO", False),
        ("a.png", "PNG", False), ("a", "PNG", False), ("a.what", "WEBP", False),
        ("a.webp", "WEBP", False), ("a.tif", "TIFF", False), ("a.jpg", "WEBP", True),
        ("a.png", "JPEG", True), ("a.gif", "BMP", True),
    ],
)  # fmt: skip
def test_a_name_that_promises_another_format(tmp_path, name, kind, warned):
    (tmp_path / name).write_bytes(encoded(photo(), kind))
    notes = [note for note, _ in examine(Media("image", name), tmp_path).notes]
    assert notes == ["extension"] * warned


@pytest.mark.parametrize(
    ("size", "warned"), [((28, 28), False), ((27, 300), True), ((300, 27), True), ((2, 2), True)]
)
def test_pictures_under_one_patch_are_enlarged(tmp_path, size, warned):
    (tmp_path / "a.png").write_bytes(encoded(photo(size)))
    seen = examine(Media("image", "a.png"), tmp_path)
    assert (seen.width, seen.height) == size
    assert [note for note, _ in seen.notes] == ["small"] * warned


def test_the_same_content_is_the_same_picture_wherever_it_lies(tmp_path):
    content = encoded(photo())
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "c.png").write_bytes(encoded(photo()))
    uris = ["a.png", "b.png", "data:image;base64," + base64.b64encode(content).decode(), "c.png"]
    digests = [examine(Media("image", uri), tmp_path).digest for uri in uris]
    assert digests[0] == digests[1] == digests[2] != digests[3]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_cut_image_is_found_wherever_it_is_cut(tmp_path, kind):
    whole = encoded(photo((120, 90)), kind)
    for share in (0.3, 0.6, 0.9):
        (tmp_path / f"{share}").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(pictures.ImageError):
            examine(Media("image", str(share)), tmp_path)


# --- texts


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Yes.", "Yes.", True), ("Yes.", "\n Yes. ", True), ("Yes.", "yes.", False),
        ("x²", "x2", False), ("Å", "\u212b", True), ("a b", "a  b", False),
        *((unicodedata.normalize("NFC", t), unicodedata.normalize("NFD", t), True)
          for t in ("é", "한국", "Ελλάς ή")),
    ],
)  # fmt: skip
def test_answers_that_are_the_same(first, second, same):
    found = [kind for kind, _ in answers(Record("Q?", (first, second), 1, (), "t"))]
    assert found == ["answers"] * same


def test_questions_in_other_languages_are_named(run, data):
    texts = [
        "What is the name of the animal in this picture?",
        "Wie viele Menschen sind auf dem Bild zu sehen?",
        "Combien de personnes peut-on voir sur cette image ?",
        "2 + 2 = ?",
    ]
    path = data(*(record(n, question=text) for n, text in enumerate(texts)))
    assert run(path)[1] == []
    status, lines = run(path, "languages=[en,fr]")
    assert status == 0
    assert [line.split(" in ")[0] for line in lines] == [
        f"warning {path}:2: language: the question is"
    ]
    assert "'de'" in lines[0]
    assert [language_of(text) for text in texts] == ["en", "de", "fr", "und"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
PARTS = ("question", "responses", "label", "media", "source", "attempts", "solved", "message")


@given(st.sampled_from([*PARTS, "origin", "answer", "image", "kind", "uri", "bytes"]), ANYTHING)
def test_no_row_is_too_strange(tmp_path_factory, name, value):
    row = record(1, media=[{"kind": "image", "uri": "nowhere.png"}])
    (row["media"][0] if name in ("kind", "uri", "bytes") else row)[name] = value
    path = tmp_path_factory.mktemp("strange") / "rows.jsonl"
    path.write_text(json.dumps(row))
    findings = check_unit(Unit(path, 1, 0, -1), str(path.parent), Rules()).findings
    assert all(finding.where == f"{path}:1" for finding in findings)
    assert any(finding.is_error for finding in findings) or row["media"] in ([], None)


@pytest.mark.parametrize("name", ["attempts", "solved", "origin", "reasoning"])
def test_the_columns_of_a_data_set_are_checked(run, data, name):
    path = data(record(1, **{name: 0.5}))
    status, lines = run(path)
    assert status == 1
    assert lines[0].startswith(f"bad {path}:1: schema: ")
    assert f"{name}=0.5" in lines[0]


# --- all rows together


@given(st.integers(0, 60), st.integers(0, 60))
def test_how_unequal_a_fair_coin_is(heads, tails):
    tosses = heads + tails
    ways = sum(
        comb(tosses, k) for k in range(tosses + 1) if abs(2 * k - tosses) >= abs(heads - tails)
    )
    assert coin(heads, tosses) == pytest.approx(float(Fraction(ways, 2**tosses)))


def test_many_tosses_are_as_many_fewer():
    assert coin(400, 1000) == pytest.approx(coin(400 + 1, 1002), rel=0.3)
    assert coin(450, 1001) == pytest.approx(coin(450, 1000) * 0.88, rel=0.1)  # both sides of exact
    assert coin(100_000, 200_000) == 1
    assert coin(99_000, 200_000) < 1e-4 < coin(99_500, 200_000)


def test_labels_that_no_fair_coin_gives_are_named_by_source():
    labels = Counter({("a", 1): 14, ("b", 1): 15, ("c", 1): 500, ("c", 2): 520, ("d", 2): 40})
    found = [*balance(labels)]  # 2 / 2^14 is more than 1e-4, 2 / 2^15 is less
    assert [finding.where for finding in found] == ["source b", "source d"]
    assert "label 1 in 0 rows, label 2 in 40" in found[1].detail


def test_a_near_duplicate_has_the_same_picture(run, data, tmp_path):
    path = data(record(1), record(2, media=[{"kind": "image", "uri": "other.png"}]), record(3))
    (path.parent / "other.png").write_bytes(encoded(photo()))
    long = "The tall house by the river has a red roof, nine windows and a door with number {}."
    answers = [long.format(7), "There is no house at all in this picture, only a boat."]
    again = [long.format(8), answers[1]]
    same = {"question": "What can you see?", "label": 1}
    other = [{"kind": "image", "uri": "other.png"}]
    path = data(
        record(1, responses=answers) | same,
        record(2, responses=again[::-1]) | same,
        record(3, responses=again, media=other) | same,
    )
    status, lines = run(path, "near_duplicates=0.8")
    assert status == 0
    assert [line.split(": ")[0] for line in lines] == [f"warning {path}:2"]
    assert f"like {path}:1, with the same media" in lines[0]
    assert run(path, "near_duplicates=null") == (0, [])


def test_only_the_first_warnings_of_a_kind_are_printed(run, data, tmp_path):
    path = data(*(record(n, media=[{"kind": "image", "uri": "a.jpg"}]) for n in range(9)))
    (path.parent / "a.jpg").write_bytes(encoded(photo()))
    status, lines = run(path, "shown=3", f"report={tmp_path}/all.jsonl")
    assert status == 0
    assert [line.split(": ")[0] for line in lines[:3]] == [f"warning {path}:{n}" for n in (1, 2, 3)]
    assert lines[3] == "warning 6 more of extension; report=FILE has all"
    assert sorted(found(tmp_path / "all.jsonl")[0]) == list(range(1, 10))
