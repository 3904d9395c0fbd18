"""The benchmark of data tools."""

import json
import os
import subprocess
import sys

from support.convert import rows_of

from r1reward.config.compose import REPO
from r1reward.core.preferences import read_preferences


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
    assert len(list(read_preferences(folder / "converted"))) == 300
