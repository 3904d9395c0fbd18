"""The benchmark of decontamination."""

import json
import sys

from r1reward.tools.bench.decontaminate import main as measure
from r1reward.tools.bench.planted import CHANGES


def test_the_measurement_runs(monkeypatch, tmp_path, capsys):
    small = ["photos=3", "drawings=2", "prompts=10", "images=2", f"out={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["bench_decontaminate", *small])
    measure()
    [path] = tmp_path.glob("*/bench.json")
    found = json.loads(path.read_text())["found"]
    copies, wrong = found["photos"]
    assert {row["what"] for row in copies} == set(CHANGES)
    assert all(row["n"] == 3 for row in copies)
    assert all(row["found"] == 0 for row in wrong)
    assert "copies of photos" in capsys.readouterr().out
