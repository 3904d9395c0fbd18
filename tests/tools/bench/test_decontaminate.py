"""The benchmark of decontamination."""

import json

from r1reward.tools.bench.decontaminate import main as measure
from r1reward.tools.bench.planted import CHANGES


def test_the_measurement_runs(invoke, tmp_path):
    small = ["photos=3", "drawings=2", "prompts=10", "images=2", f"out={tmp_path}"]
    printed = invoke(measure, *small).out
    [path] = tmp_path.glob("*/bench.json")
    found = json.loads(path.read_text())["found"]
    copies, wrong = found["photos"]
    assert {row["what"] for row in copies} == set(CHANGES)
    assert all(row["n"] == 3 for row in copies)
    assert all(row["found"] == 0 for row in wrong)
    assert "copies of photos" in printed
