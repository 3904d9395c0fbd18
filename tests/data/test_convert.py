"""Conversion: the order of answers, media, bad rows, and a run that is killed and goes on."""

import base64
import collections
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r1reward.config.compose import REPO
from r1reward.core.record import read_records
from r1reward.core.rows import scan_rows
from r1reward.data.convert.run import ConvertError, convert
from r1reward.data.convert.unit import Job, order
from r1reward.data.sources.mm_rlhf import MMRLHF
from r1reward.data.sources.plain import Plain
from r1reward.data.sources.vlfeedback import VLFeedback
from r1reward.store.shards import read_manifest

PHOTOS = REPO / "recipes" / "photos"
IMAGES = sorted(path.name for path in (PHOTOS / "images").iterdir())


def pair(number, **fields):
    image = f"images/{IMAGES[number % len(IMAGES)]}"
    return {
        "question": f"Question {number}?",
        "chosen": f"Better {number}.",
        "rejected": f"Worse {number}.",
        "image": image,
    } | fields


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def job(root, media="path", seed=0, files=("*.jsonl",), media_root=PHOTOS):
    return Job(Plain(str(root), list(files), str(media_root), "mine"), media, seed)


def run(out, work, shard_rows=100, workers=1, tick=lambda progress: None):
    return convert(work, out, shard_rows=shard_rows, workers=workers, command="test", tick=tick)


def rows_of(folder):
    return [row for _, row in scan_rows(folder)]


def files_of(folder):
    """Content of every file of a set, by name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def quarantined(folder):
    lines = (folder / "quarantine.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def label_by_hand(seed, question, chosen, rejected):
    """The rule, from its text: first bit of SHA-256 of the JSON list, no white space, UTF-8."""
    text = "[" + str(seed)
    for part in (question, chosen, rejected):
        text += "," + json.dumps(part, ensure_ascii=False)
    first = hashlib.sha256((text + "]").encode("utf-8")).hexdigest()[0]
    return 1 if first in "01234567" else 2


# --- order


def test_labels_are_those_of_the_rule_and_halve(tmp_path):
    pairs = [pair(n, question=f"Größe {n} «?»") for n in range(2000)]
    write(tmp_path / "in" / "a.jsonl", pairs)
    run(tmp_path / "out", job(tmp_path / "in", seed=7), shard_rows=4096)
    found = list(read_records(tmp_path / "out"))
    assert len(found) == 2000
    for record, row in zip(found, pairs, strict=True):
        label = label_by_hand(7, row["question"], row["chosen"], row["rejected"])
        assert record.label == label
        assert record.responses[label - 1] == row["chosen"]
        assert record.responses[2 - label] == row["rejected"]
        assert record.question == row["question"]
    labels = collections.Counter(record.label for record in found)
    assert abs(labels[1] - 1000) < 100, "4.5 standard deviations of a fair coin"
    assert read_manifest(tmp_path / "out")["labels"] == {"1": labels[1], "2": labels[2]}


def test_the_order_depends_on_the_pair_and_the_seed_alone():
    assert order(0, "q", "a", "b") == label_by_hand(0, "q", "a", "b")
    for part in range(3):
        texts = [["q", "a", "b"] for _ in range(200)]
        for number, one in enumerate(texts):
            one[part] += str(number)
        assert len({order(0, *one) for one in texts}) == 2
    assert len({order(seed, "q", "a", "b") for seed in range(200)}) == 2


def test_rows_keep_their_order_and_name_where_they_come_from(tmp_path):
    write(tmp_path / "in" / "b.jsonl", [pair(n, id=f"b{n}") for n in range(250)])
    write(tmp_path / "in" / "a.jsonl", [pair(n) for n in range(3)])
    run(tmp_path / "out", job(tmp_path / "in"))
    found = rows_of(tmp_path / "out")
    assert [row["origin"] for row in found] == [
        *[f"a.jsonl:{n}" for n in (1, 2, 3)],
        *[f"b{n}" for n in range(250)],
    ]
    assert {row["source"] for row in found} == {"mine"}
    names = sorted(path.name for path in (tmp_path / "out").glob("*.parquet"))
    assert names == [f"part-0000{n}.parquet" for n in range(4)]
    assert {(row["attempts"], row["solved"], row["reasoning"]) for row in found} == {(None,) * 3}


def test_every_ranked_pair_of_a_row_is_a_record(tmp_path):
    def rated(text, rating):
        return {"response": text, "annotations": {"Helpfulness": {"Rating": rating}}}

    rows = [
        {
            "id": "x",
            "prompt": "?",
            "completions": [rated("a", "1"), rated("b", "2"), rated("c", "3")],
        },
        {"id": "y", "prompt": "?", "completions": [rated("a", "1"), rated("a", "2")]},
        {"id": "z", "prompt": "?", "completions": [rated("a", "1"), rated("b", "1")]},
    ]
    write(tmp_path / "in" / "a.jsonl", rows)
    (tmp_path / "in" / "x.jpg").write_bytes(b"x")
    (tmp_path / "in" / "y.jpg").write_bytes(b"y")
    source = VLFeedback(str(tmp_path / "in"), ["a.jsonl"], str(tmp_path / "in"), "all")
    done = run(tmp_path / "out", Job(source, "path", 0))
    better = {
        (r.responses[r.label - 1], r.responses[2 - r.label]) for r in read_records(tmp_path / "out")
    }
    assert better == {("b", "a"), ("c", "a"), ("c", "b")}
    assert (done.total.rows, done.total.records) == (3, 3)
    assert done.total.dropped == {"equal": 1, "tie": 1}


# --- media


def test_paths_stay_and_are_relative_to_the_media_root(tmp_path):
    image = f"images/{IMAGES[0]}"
    forms = [image, f"./images/../{image}", str(PHOTOS / image), [image, image], None]
    write(tmp_path / "in" / "a.jsonl", [pair(n, image=form) for n, form in enumerate(forms)])
    run(tmp_path / "out", job(tmp_path / "in"))
    one = {"kind": "image", "uri": image, "bytes": None}
    assert [row["media"] for row in rows_of(tmp_path / "out")] == [[one]] * 3 + [[one, one], []]


def test_embedded_files_are_copied_byte_by_byte(tmp_path):
    write(tmp_path / "in" / "a.jsonl", map(pair, range(20)))
    run(tmp_path / "out", job(tmp_path / "in", media="embed"))
    for number, row in enumerate(rows_of(tmp_path / "out")):
        path = PHOTOS / "images" / IMAGES[number]
        assert row["media"][0]["bytes"] == path.read_bytes()
    first = next(iter(read_records(tmp_path / "out")))
    encoded = base64.b64encode((PHOTOS / "images" / IMAGES[0]).read_bytes()).decode()
    assert first.media[0].uri == f"data:image;base64,{encoded}"


@pytest.mark.parametrize("media", ["path", "embed"])
def test_images_inside_the_rows_are_decoded_in_both_modes(tmp_path, media):
    content = b"\xff\xd8\xff\xe0" + os.urandom(3000)
    encoded = base64.encodebytes(content).decode()  # lines of 76 characters
    assert "\n" in encoded
    forms = [encoded, f"data:image/jpeg;base64,{encoded}", encoded.replace("\n", " \r\n\t")]
    write(tmp_path / "in" / "a.jsonl", [pair(n, image=form) for n, form in enumerate(forms)])
    run(tmp_path / "out", job(tmp_path / "in", media))
    found = [row["media"] for row in rows_of(tmp_path / "out")]
    assert found == [[{"kind": "image", "uri": None, "bytes": content}]] * 3


def test_media_that_cannot_be_used_are_quarantined_and_the_rest_goes_through(tmp_path):
    root = tmp_path / "media"
    (root / "inside").mkdir(parents=True)
    for name in ("good.jpg", "inside/empty.jpg", "../secret.jpg"):
        (root / name).write_bytes(b"" if "empty" in name else b"image")
    forms = [
        "good.jpg",
        "../secret.jpg",
        "inside/../../secret.jpg",
        str(tmp_path / "secret.jpg"),
        "https://example.org/a.jpg",
        "missing.jpg",
        "inside",
        "x" * 5000 + ".jpg",
        "a\0b.jpg",
        "data:text/plain;base64,AAAA",
        ["good.jpg", "missing.jpg"],
        {"bytes": 5},
        "inside/empty.jpg",
    ]
    write(tmp_path / "in" / "a.jsonl", [pair(n, image=form) for n, form in enumerate(forms)])
    for media, good in (("path", 2), ("embed", 1)):
        out = tmp_path / media
        done = run(out, job(tmp_path / "in", media, media_root=root))
        assert done.total.records == good
        assert done.total.dropped == {"media": len(forms) - good}
        lines = quarantined(out)
        where = [f"{tmp_path}/in/a.jsonl:{n}" for n in range(2, len(forms) + 1 - (media == "path"))]
        assert [line["where"] for line in lines] == where
        assert all(len(line["detail"]) < 500 for line in lines)
        assert "outside the media folder" in lines[0]["detail"]
        assert not [row for row in rows_of(out) if "secret" in str(row["media"])]


def test_a_video_is_a_folder_that_stays_where_it_is(tmp_path):
    (tmp_path / "in" / "video" / "clip").mkdir(parents=True)
    row = {"prompt": "?", "chosen": "a", "rejected": "b", "video": "video/clip"}
    write(tmp_path / "in" / "a.jsonl", [row, row | {"video": "video/none"}])
    root = str(tmp_path / "in")
    source = MMRLHF(root, ["a.jsonl"], root, "all", ["video"])
    run(tmp_path / "out", Job(source, "path", 0))
    [found] = rows_of(tmp_path / "out")
    assert found["media"] == [{"kind": "video", "uri": "video/clip", "bytes": None}]
    assert "no such video" in quarantined(tmp_path / "out")[0]["detail"]
    with pytest.raises(ConvertError, match="videos cannot be embedded; take media=path"):
        run(tmp_path / "other", Job(source, "embed", 0))


# --- bad rows


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
    assert len(list(read_records(tmp_path / "out"))) == 50


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


# --- manifest and folders


def test_the_manifest_says_what_was_made_of_what(tmp_path):
    path = write(tmp_path / "in" / "a.jsonl", [*map(pair, range(150)), {"bad": 1}])
    run(tmp_path / "out", job(tmp_path / "in", seed=3))
    manifest = read_manifest(tmp_path / "out")
    content = path.read_bytes()
    assert manifest["inputs"] == [
        {
            "path": str(path),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    ]
    assert manifest["command"] == "test"
    assert manifest["seed"] == 3
    assert manifest["settings"]["source"]["name"] == "plain"
    assert manifest["settings"]["media"] == "path"
    assert manifest["sources"] == {"mine": 150}
    on_disk = files_of(tmp_path / "out")
    assert {shard["name"]: shard["sha256"] for shard in manifest["shards"]} == {
        name: digest for name, digest in on_disk.items() if name.endswith(".parquet")
    }
    assert [shard["rows"] for shard in manifest["shards"]] == [100, 50]
    assert set(on_disk) == {
        "part-00000.parquet",
        "part-00001.parquet",
        "manifest.json",
        "quarantine.jsonl",
    }


def test_two_processes_make_the_same_files_as_one(tmp_path):
    write(tmp_path / "in" / "a.jsonl", [*map(pair, range(300)), {"bad": 1}])
    write(tmp_path / "in" / "b.jsonl", map(pair, range(300, 500)))
    run(tmp_path / "one", job(tmp_path / "in"), workers=1)
    done = run(tmp_path / "two", job(tmp_path / "in"), workers=2)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert done.total.records == 500


def test_a_finished_set_is_left_alone(tmp_path):
    write(tmp_path / "in" / "a.jsonl", map(pair, range(250)))
    run(tmp_path / "out", job(tmp_path / "in"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    done = run(tmp_path / "out", job(tmp_path / "in"))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert (done.total.records, done.kept) == (250, 250)
    (tmp_path / "out" / "part-00001.parquet").unlink()
    with pytest.raises(ConvertError, match="shards are missing or damaged"):
        run(tmp_path / "out", job(tmp_path / "in"))


def test_other_settings_and_other_inputs_are_refused(tmp_path):
    path = write(tmp_path / "in" / "a.jsonl", map(pair, range(5)))
    out = tmp_path / "out"
    run(out, job(tmp_path / "in"))
    before = files_of(out)
    for change, says in {
        "seed": job(tmp_path / "in", seed=1),
        "settings.media": job(tmp_path / "in", media="embed"),
        r"settings.source.media_root": job(tmp_path / "in", media_root="/"),
    }.items():
        with pytest.raises(ConvertError, match=f"holds another conversion: {change} is .*, there"):
            run(out, says)
    with pytest.raises(ConvertError, match=r"settings\.shard_rows is 7, there 100"):
        run(out, job(tmp_path / "in"), shard_rows=7)
    path.write_text(path.read_text().replace("Better 3", "Better x"))
    with pytest.raises(ConvertError, match="inputs is not what they were"):
        run(out, job(tmp_path / "in"))
    assert files_of(out) == before


def test_a_folder_with_other_files_is_refused(tmp_path):
    write(tmp_path / "in" / "a.jsonl", [pair(1)])
    with pytest.raises(ConvertError, match="there are other files; give a new folder"):
        run(tmp_path / "in", job(tmp_path / "in"))
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.jsonl"]


# --- killed


class Stop(Exception):
    """Raised by a ticker, as a person's interrupt would be."""


def stop_after(shards):
    def tick(progress):
        if progress.done >= shards:
            raise Stop

    return tick


def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    write(tmp_path / "in" / "a.jsonl", [*map(pair, range(990)), *[{"bad": 1}] * 10])
    run(tmp_path / "whole", job(tmp_path / "in"))
    out = tmp_path / "out"
    with pytest.raises(Stop):
        run(out, job(tmp_path / "in"), tick=stop_after(3))
    shards = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert 3 <= len(shards) < 10
    assert read_manifest(out) is None
    with pytest.raises(ConvertError, match="holds another conversion: seed is 5, there 0"):
        run(out, job(tmp_path / "in", seed=5))
    done = run(out, job(tmp_path / "in"))
    assert {path: path.stat().st_mtime_ns for path in shards} == shards, "finished ones are kept"
    assert done.kept == 100 * len(shards)
    assert done.total.rows == 1000
    assert files_of(out) == files_of(tmp_path / "whole")


def test_a_lost_shard_of_an_unfinished_set_is_made_again(tmp_path):
    write(tmp_path / "in" / "a.jsonl", map(pair, range(500)))
    run(tmp_path / "whole", job(tmp_path / "in"))
    out = tmp_path / "out"
    with pytest.raises(Stop):
        run(out, job(tmp_path / "in"), tick=stop_after(2))
    (out / "part-00000.parquet").unlink()
    (out / ".part-00004.parquet.0123.part").write_bytes(b"torn by a kill")
    run(out, job(tmp_path / "in"))
    assert files_of(out) == files_of(tmp_path / "whole")


COMMAND = [
    sys.executable,
    "-m",
    "r1reward.tools.convert",
    "source=plain",
    f"source.media_root={PHOTOS}",
]


def test_a_killed_command_loses_nothing_and_leaves_no_process(tmp_path):
    """SIGKILL in the middle of a real run with two workers, then the same command again."""
    write(tmp_path / "in" / "a.jsonl", map(pair, range(20_000)))
    out = tmp_path / "out"
    arguments = [f"source.root={tmp_path}/in", f"out={out}", "shard_rows=50", "workers=2"]
    running = subprocess.Popen([*COMMAND, *arguments], cwd=REPO, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(out.glob("*.parquet"))) < 20:
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = children_of(running.pid)
    assert len(workers) >= 2
    running.send_signal(signal.SIGKILL)
    running.wait()
    for worker in workers:
        wait_for_end(worker)
    kept = {path: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}
    assert 20 <= len(kept) < 400
    remembered = len(list((out / ".convert").glob("*.json"))) - 1  # and the plan
    assert len(kept) - 2 <= remembered <= len(kept), "at most those at work are lost"
    subprocess.run([*COMMAND, *arguments], cwd=REPO, check=True, stdout=subprocess.DEVNULL)
    again = sum(path.stat().st_mtime_ns != time for path, time in kept.items())
    assert again <= 2
    whole = tmp_path / "whole"
    run(
        whole,
        Job(Plain(f"{tmp_path}/in", ["*.jsonl", "*.parquet"], str(PHOTOS), "plain"), "path", 0),
        50,
    )
    found, expected = files_of(out), files_of(whole)
    assert found.pop("manifest.json") != expected.pop("manifest.json"), "the command is another"
    assert found == expected
    facts = [read_manifest(folder) for folder in (out, whole)]
    assert [fact.pop("command") for fact in facts][1] == "test"
    assert facts[0] == facts[1]


def children_of(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_end(pid):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":  # ended; whoever adopted it has not looked yet
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} outlives its parent")


# --- the command


def command(*arguments):
    done = subprocess.run([*COMMAND, *arguments], cwd=REPO, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_command_shows_what_became_of_the_rows(tmp_path):
    write(tmp_path / "in" / "a.jsonl", [*map(pair, range(10)), {"bad": 1}])
    status, out, error = command(f"source.root={tmp_path}/in", f"out={tmp_path}/out", "workers=1")
    assert (status, error) == (0, "")
    lines = [[cell.strip() for cell in line.split("│")[1:3]] for line in out.splitlines()]
    assert ["rows read", "11"] in lines
    assert ["records", "10"] in lines
    assert ["schema", "1"] in lines
    assert f"data.train_files={tmp_path}/out\n" in out
    manifest = read_manifest(tmp_path / "out")
    assert manifest["media_root"] == str(PHOTOS)
    assert f"out={tmp_path}/out" in manifest["command"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["out=x"], "source.root"),
        (["source.root=nowhere", "out=x"], "plain: no file *.jsonl, *.parquet below nowhere"),
        (["source.root=nowhere", "out=x", "media=inline"], "media=inline: take path or embed"),
        (["source.root=nowhere", "out=x", "workers=0"], "workers=0: give 1 or more"),
        (["source.root=nowhere", "out=x", "shard_rows=null"], "shard_rows=None: give 1 or more"),
        (["source.root=nowhere", "source.files=a.jsonl", "out=x"], "no file a.jsonl below nowhere"),
        (["source.root=nowhere", "out=x", "colour=red"], "colour"),
        (["source.root=nowhere", "out=x", "+source.colour=red"], "colour"),
        (["source=unknown", "source.root=nowhere", "out=x"], "rlaif_v"),
    ],
)
def test_what_cannot_be_used_is_one_message(arguments, says):
    status, _, error = command(*arguments)
    assert status == 2
    assert error.startswith("error ")
    assert says in error
    assert "Traceback" not in error


def test_the_bench_measures_the_command(tmp_path):
    arguments = ["rows=300", "steps=[convert]", "workers=2", f"out={tmp_path}"]
    bench = [sys.executable, "-m", "r1reward.tools.bench.data", *arguments]
    shown = subprocess.run(bench, cwd=REPO, check=True, capture_output=True, text=True).stdout
    [folder] = tmp_path.iterdir()
    assert "convert" in shown
    result = json.loads((folder / "bench.json").read_text())
    assert result["machine"]["cores"] == os.cpu_count()
    [step] = result["steps"]
    assert (step["step"], step["rows"]) == ("convert", 300)
    assert step["seconds"] > 0
    assert all(1 << 20 < peak < 1 << 30 for peak in step["peaks"])
    assert len(step["peaks"]) >= 2, "the command and its worker"
    generated = rows_of(folder / "rows.jsonl")
    assert len({row["chosen"] for row in generated} | {row["rejected"] for row in generated}) == 600
    assert len(list(read_records(folder / "converted"))) == 300
