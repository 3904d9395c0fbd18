"""The benchmark of evaluation's speed: its arithmetic, its workload, and real contests in small."""

import io
import json
import subprocess
import sys

import pytest
from PIL import Image, ImageChops
from rich.console import Console

from r1reward.config.compose import REPO
from r1reward.eval.benchmarks.photos import Photos
from r1reward.tools.bench.contestants import CONTESTANTS, WARM_UP, Pass, Stay, Workload
from r1reward.tools.bench.eval import figures, table

PHOTOS = Photos(REPO / "recipes" / "photos")
PAIRS = 204


def run(folder, *overrides, status=0):
    done = subprocess.run(
        [sys.executable, "-m", "r1reward.tools.bench.eval", f"out={folder}", *overrides],
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def written(folder):
    [path] = folder.glob("*/bench.json")
    return json.loads(path.read_text())


# --- figures

STAYS = {
    "ours": [  # 10, 20 and 16 judgements a second
        Stay(30.0, [Pass(80, 800, 8.0, 1.0), Pass(80, 800, 4.0, 2.5)]),
        Stay(50.0, [Pass(80, 800, 5.0, 0.5)]),
    ],
    "raw": [  # 16 and 40, and with the preparation 8 and 20
        Stay(20.0, [Pass(80, 800, 5.0, 1.0, 5.0), Pass(80, 800, 2.0, 1.0, 2.0)])
    ],
    "hf": [Stay(5.0, [Pass(8, 40, 8.0, 1.0), Pass(8, 40, 4.0, 1.0)])],  # 1 and 2
}


def test_figures_by_hand() -> None:
    found = figures(STAYS)
    ours = found["ours"]
    assert (ours["judgements"], ours["passes"], ours["tokens_per_judgement"]) == (80, 3, 10)
    assert (ours["median"], ours["best"], ours["worst"]) == (16, 20, 10)
    assert (ours["seconds"], ours["tokens_per_second"]) == (5.0, 160)
    assert (ours["startup_seconds"], ours["load"]) == (40, 2.5)
    assert ours["median_over_raw"] == pytest.approx(16 / 28)
    assert ours["best_over_raw"] == pytest.approx(20 / 40)
    assert ours["median_over_raw_prepared"] == pytest.approx(16 / 14)
    assert found["raw_prepared"]["best"] == 20
    assert ours["median_over_hf"] == pytest.approx(16 / 1.5)
    assert found["raw"]["median_over_raw"] == 1
    assert found["hf"]["judgements"] == 8


def test_the_table_has_a_row_for_each() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    where = {"cpu": "a CPU", "cores": 2, "gpus": ["a GPU"], "date": "2026-01-01"}
    console.print(table(STAYS, where))
    lines = console.export_text().splitlines()
    assert "a CPU, 2 cores, a GPU, 2026-01-01" in lines[0]
    [ours] = [line for line in lines if line.startswith("│ ours")]
    assert "57% (50%)" in ours
    assert "10.7 (10.0)" in ours
    assert "5.0 (4.0 to 8.0)" in ours
    alone = {"raw": STAYS["raw"]}
    console.print(table(alone, where))
    assert "-" in console.export_text()


# --- workload


def load(tmp_path, numbers):
    workload = Workload(PHOTOS, numbers, tmp_path)
    workload.draw()
    return list(workload.load())


def test_an_item_has_images_of_its_own_and_the_texts_of_the_benchmark(tmp_path) -> None:
    numbers = range(PAIRS - 2, PAIRS + 3)  # the end of the set, and its beginning again
    found, own = load(tmp_path, numbers), list(PHOTOS.load())
    assert [item.index for item in found] == list(numbers)
    for item, source in zip(found, [*own[-2:], *own[:3]], strict=True):
        assert item.responses == source.responses
        [media], [before] = item.media, source.media
        drawn = Image.open(tmp_path / media.uri)
        photo = Image.open(PHOTOS.root / before.uri).convert("RGB")
        assert drawn.size == photo.size
        changed = ImageChops.difference(drawn, photo).point(lambda value: 255 * (value > 100))
        _, _, right, bottom = changed.getbbox()
        assert right < 40
        assert bottom < 20
    files = [(tmp_path / item.media[0].uri).read_bytes() for item in found]
    assert len(set(files)) == len(files)


def test_contestants_have_a_warm_up() -> None:
    assert set(WARM_UP) == set(CONTESTANTS)


# --- real contests


def check(folder, names, tokens):
    found = written(folder)
    assert set(found["rows"]) - {"raw_prepared"} == set(names)
    for name in names:
        [stay] = found["stays"][name]
        assert stay["startup"] > 0
        for one in stay["passes"]:
            assert one["seconds"] > 0
            assert one["tokens"] == tokens * one["judgements"]
    assert found["machine"]["cores"]
    assert found["machine"]["packages"]["torch"]
    return found


def test_transformers_alone_and_in_our_batches(tmp_path) -> None:
    names = ["hf", "hf_batch"]
    small = ["items=3", "hf_items=2", "tokens=3", "repeats=2"]
    done = run(tmp_path, f"contestants=[{','.join(names)}]", *small)
    found = check(tmp_path, names, 3)
    assert {one["judgements"] for name in names for one in found["stays"][name][0]["passes"]} == {4}
    assert "HF batch 1" in done.stdout
    assert not list(tmp_path.glob("*/*/")), "the images are gone"


@pytest.mark.slow
def test_ours_and_vllm_judge_the_same_prompts_with_answers_as_long(tmp_path) -> None:
    names = ["ours", "raw"]
    run(tmp_path, f"contestants=[{','.join(names)}]", "items=3", "tokens=90", "repeats=2")
    found = check(tmp_path, names, 90)
    for name in names:
        assert [one["judgements"] for one in found["stays"][name][0]["passes"]] == [6, 6]
        assert "median_over_raw" in found["rows"][name]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["contestants=[ours,theirs]"], "contestants: theirs is none of ours, raw, hf, hf_batch"),
        (["item=3"], "item"),
        (["contestants=[hf]", "model_path=/nowhere", "items=1"], "hf failed; see "),
    ],
)
def test_what_cannot_be_is_one_message(overrides, message, tmp_path) -> None:
    done = run(tmp_path, *overrides, status=2)
    assert done.stderr.startswith("error ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
