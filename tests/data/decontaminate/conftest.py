"""A training set with planted copies of a benchmark, and the command."""

import shutil

import pytest
from PIL import Image
from support.decontaminate import PHOTOS, small, write_lines

from r1reward.tools.bench.planted import CHANGES, seeded
from r1reward.tools.decontaminate import main


@pytest.fixture
def training(planted_set, tmp_path):
    """A training set with planted copies of the photos benchmark, and what must become of each."""
    folder, planted = planted_set
    return shutil.copytree(folder, tmp_path / "set"), planted


@pytest.fixture(scope="package")
def planted_set(tmp_path_factory):
    """The same, for all tests: they change nothing here."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "images").mkdir()
    names = ["PNG", "JPEG, quality 50", "10% off each side", "scaled to 50%"]
    rows, planted = [], {}
    for number, row in enumerate(small("test", 8) + small("train", 40)):
        held_out = number < 8
        name = names[number % len(names)]
        image = Image.open(PHOTOS / row["media"][0]["uri"]).convert("RGB")
        uri = f"images/{number}.png"
        CHANGES[name](image, seeded(number)).save(folder / uri)
        rows.append({**row, "media": [{"kind": "image", "uri": uri}], "origin": f"row {number}"})
        if held_out:
            planted[uri] = "exact_image" if name == "PNG" else "near_image"
    write_lines(folder / "rows.jsonl", seeded(0).sample(rows, len(rows)))
    return folder, planted


@pytest.fixture
def run(invoke):
    """Run the command; return its exit status, what it printed, and its error."""

    def command(source, out, *overrides):
        given = [f"input={source}", f"out={out}", "workers=1", *overrides]
        if not any(item.startswith("benchmarks=") for item in given):
            given.append("benchmarks=[photos]")
        return invoke(main, *given)

    return command
