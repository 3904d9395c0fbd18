"""The command drops planted copies and keeps the rest."""

import json
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.decontaminate import PHOTOS, SPLITS, lines, write_lines

from r1reward.config.compose import REPO
from r1reward.core.preferences import parse_preference, read_preferences


def test_planted_images_are_dropped_and_the_rest_stays(run, training, tmp_path):
    folder, planted = training
    status, printed, _ = run(folder, tmp_path / "out")
    assert status == 0
    rows = lines(folder / "rows.jsonl")
    dropped = lines(tmp_path / "out" / "dropped.jsonl")
    uri_of = {f"{folder}/rows.jsonl:{n}": r["media"][0]["uri"] for n, r in enumerate(rows, 1)}
    assert {uri_of[line["where"]]: line["reason"] for line in dropped} == planted
    for line in dropped:
        row = rows[int(line["where"].rpartition(":")[2]) - 1]
        assert line["uid"] == parse_preference(row, where="").uid
        match = line["matches"][0]
        assert (match["benchmark"], match["reason"]) == ("photos", line["reason"])
        held_out = SPLITS["test"][match["index"]]["media"][0]["uri"]
        assert match["uri"] == match["id"] == held_out
        assert f"photos, row {match['index'] + 1}" in line["detail"]
    kept = [row for row in rows if row["media"][0]["uri"] not in planted]
    written = pq.read_table(next((tmp_path / "out").glob("*.parquet"))).to_pylist()
    assert [row["origin"] for row in written] == [row["origin"] for row in kept]
    assert list(read_preferences(tmp_path / "out")) == [parse_preference(r, where="") for r in kept]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["rows"], manifest["sources"]) == (48, {"photos": 40})
    assert manifest["dropped"] == [["photos", "exact_image", 2], ["photos", "near_image", 6]]
    assert manifest["inputs"][0]["path"] == str(folder / "rows.jsonl")
    assert "48 rows in, 40 out, 8 in dropped.jsonl" in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "manifest.json", "dropped.jsonl", "part-00000.parquet",
    }  # fmt: skip


def test_the_photos_for_training_are_not_those_of_the_benchmark(run, tmp_path):
    status, printed, _ = run(PHOTOS / "train.jsonl", tmp_path / "out")
    assert status == 0
    assert "1,048 rows in, 1,048 out, 0 in dropped.jsonl" in printed
    status, _, error = run(PHOTOS / "test.jsonl", tmp_path / "none")
    assert status == 2
    assert "none of 204 rows is left" in error


def test_the_set_is_the_same_for_any_number_of_workers(run, training, tmp_path):
    folder, _ = training
    rows = lines(folder / "rows.jsonl")
    many = [{**row, "origin": str(n)} for n, row in enumerate(rows * 50)]  # three units
    write_lines(folder / "rows.jsonl", many)
    assert run(folder, tmp_path / "one")[0] == 0
    command = ["-m", "r1reward.tools.decontaminate", f"input={folder}", f"out={tmp_path}/two"]
    subprocess.run(
        [sys.executable, *command, "benchmarks=[photos]", "workers=2"],
        cwd=REPO, check=True, capture_output=True,
    )  # fmt: skip
    names = [path.name for path in sorted((tmp_path / "one").iterdir())]
    assert names == ["dropped.jsonl", "manifest.json", *(f"part-0000{n}.parquet" for n in range(3))]
    for name in names:
        one, two = ((tmp_path / out / name).read_bytes() for out in ("one", "two"))
        assert one == two or name == "manifest.json"


def test_embedded_images_are_compared_and_kept(run, training, tmp_path):
    folder, planted = training
    rows = lines(folder / "rows.jsonl")
    for row in rows:
        [media] = row["media"]
        media["bytes"] = (folder / media["uri"]).read_bytes()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet")
    assert run(tmp_path / "set.parquet", tmp_path / "out")[0] == 0
    written = pq.read_table(tmp_path / "out" / "part-00000.parquet").to_pylist()
    kept = [row for row in rows if row["media"][0]["uri"] not in planted]
    assert [row["media"] for row in written] == [row["media"] for row in kept]


def test_what_cannot_be_compared_is_dropped_with_its_reason(run, training, tmp_path):
    folder, planted = training
    image = next(folder.glob("images/*.png"))
    good = {"question": "Q?", "responses": ["A.", "B."], "label": 1, "source": "more", "media": []}
    write_lines(
        folder / "z.jsonl",
        [
            good,
            {**good, "label": 3},
            {**good, "media": [{"kind": "image", "uri": "none.png"}]},
            {**good, "media": [{"kind": "image", "uri": "../out.png"}]},
            {**good, "media": [{"kind": "image", "uri": "half.png"}]},
        ],
    )
    with open(folder / "z.jsonl", "ab") as file:
        file.write(b'{"question": "\xff"}\n')
    (folder / "half.png").write_bytes(image.read_bytes()[:500])
    status, printed, _ = run(folder, tmp_path / "out")
    assert status == 0
    found = [line for line in lines(tmp_path / "out" / "dropped.jsonl") if not line["matches"]]
    assert [(line["where"], line["reason"], line["source"]) for line in found] == [
        (f"{folder}/z.jsonl:{number}", reason, source)
        for number, reason, source in (
            (2, "record", ""), (3, "media", "more"), (4, "media", "more"),
            (5, "media", "more"), (6, "record", ""),
        )
    ]  # fmt: skip
    words = ["label=3", "no such image", "outside the media folder", "damaged", "not a JSON object"]
    assert all(word in line["detail"] for word, line in zip(words, found, strict=True))
    assert f"54 rows in, 41 out, {len(planted) + 5} in dropped.jsonl" in printed


def test_half_a_parquet_file_does_not_stop_the_others(run, tmp_path):
    rows = [{**row, "media": []} for row in SPLITS["train"][:3]]
    (tmp_path / "set").mkdir()
    for name in ("a", "b"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set" / f"{name}.parquet")
    whole = (tmp_path / "set" / "a.parquet").read_bytes()
    (tmp_path / "set" / "a.parquet").write_bytes(whole[: len(whole) // 2])
    status, printed, _ = run(tmp_path / "set", tmp_path / "out")
    assert status == 0
    [line] = lines(tmp_path / "out" / "dropped.jsonl")
    assert (line["where"], line["reason"]) == (f"{tmp_path}/set/a.parquet", "unreadable")
    assert "3 rows in, 3 out, 1 in dropped.jsonl" in printed


def test_the_wrong_media_root_is_noticed(run, training, tmp_path):
    folder, _ = training
    status, _, error = run(folder, tmp_path / "out", f"media_root={tmp_path}")
    assert status == 2
    assert "is media_root right?" in error
    assert run(folder, tmp_path / "out", f"media_root={folder}")[0] == 0


def test_a_benchmark_that_is_not_there(run, training, tmp_path, monkeypatch):
    folder, _ = training
    monkeypatch.chdir(tmp_path)  # where no data/vlrewardbench is
    status, _, error = run(folder, tmp_path / "out", "benchmarks=[photos,vlrewardbench]")
    assert status == 2
    assert "vlrewardbench: no data in" in error
    assert "VL-RewardBench" in error
    assert error.count("\n") == 1
    status, _, error = run(folder, tmp_path / "out", "benchmarks=[photo]")
    assert status == 2
    assert "no photo; there are" in error
    status, printed, _ = run(folder, tmp_path / "out", "benchmarks=null")
    assert status == 0
    assert "not compared with mmrlhf_rewardbench" in printed


def test_a_benchmark_without_its_images(run, training, tmp_path):
    folder, _ = training
    root = tmp_path / "photos"
    root.mkdir()
    for name in ("test.jsonl", "manifest.jsonl"):
        shutil.copy(PHOTOS / name, root / name)
    roots = f"roots={{photos: {root}}}"
    status, _, error = run(folder, tmp_path / "out", roots)
    assert status == 2
    assert "images are missing" in error
    assert "images=false" in error
    status, printed, _ = run(folder, tmp_path / "out", roots, "images=false")
    assert status == 0
    assert "48 rows in, 48 out" in printed  # stock questions all


@pytest.mark.parametrize(
    "override",
    ["drop=neither", "image_similarity=0", "prompt_similarity=2", "specific_shingles=0",
     "common_images=0", "workers=0", "nonsense=1", "roots={nothing: x}"],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_named(run, training, tmp_path, override):
    status, _, error = run(training[0], tmp_path / "out", override)
    assert status == 2
    assert override.partition("=")[0] in error or "nothing" in error
    assert not (tmp_path / "out").exists()


def test_input_that_is_not_there(run, tmp_path):
    assert run(tmp_path / "none.jsonl", tmp_path / "out")[0] == 2
