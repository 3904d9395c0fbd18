"""The order of answers, and media as paths or embedded."""

import base64
import collections
import hashlib
import json
import os

import pytest
from support.convert import IMAGES, PHOTOS, job, pair, quarantined, rows_of, run, write

from r1reward.core.preferences import read_preferences
from r1reward.data.convert.run import ConvertError
from r1reward.data.convert.unit import Job, order
from r1reward.data.sources.mm_rlhf import MMRLHF
from r1reward.data.sources.vlfeedback import VLFeedback
from r1reward.store.shards import read_manifest


def label_by_hand(seed, question, chosen, rejected):
    """The rule, from its text: first bit of SHA-256 of the JSON list, no white space, UTF-8."""
    text = "[" + str(seed)
    for part in (question, chosen, rejected):
        text += "," + json.dumps(part, ensure_ascii=False)
    first = hashlib.sha256((text + "]").encode("utf-8")).hexdigest()[0]
    return 1 if first in "01234567" else 2


def test_labels_are_those_of_the_rule_and_halve(tmp_path):
    pairs = [pair(n, question=f"Größe {n} «?»") for n in range(2000)]
    write(tmp_path / "in" / "a.jsonl", pairs)
    run(tmp_path / "out", job(tmp_path / "in", seed=7), shard_rows=4096)
    found = list(read_preferences(tmp_path / "out"))
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
        (r.responses[r.label - 1], r.responses[2 - r.label])
        for r in read_preferences(tmp_path / "out")
    }
    assert better == {("b", "a"), ("c", "a"), ("c", "b")}
    assert (done.total.rows, done.total.records) == (3, 3)
    assert done.total.dropped == {"equal": 1, "tie": 1}


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
    first = next(iter(read_preferences(tmp_path / "out")))
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
