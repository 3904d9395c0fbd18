"""A plan for a hub model that has been downloaded but is not in plan/models.yaml."""

import os
import shutil
import subprocess
import sys

from r1reward.config.compose import REPO
from r1reward.plan.model import model_of


def test_a_downloaded_model_needs_no_entry(tmp_path) -> None:
    folder = REPO / "recipes" / "tiny" / "checkpoint"
    cached = tmp_path / "models--someone--else"  # the layout of Hugging Face's cache
    (cached / "snapshots" / "0a1b").mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0a1b")
    shutil.copy(folder / "config.json", cached / "snapshots" / "0a1b")
    code = "from r1reward.plan.model import model_of; print(model_of('someone/else').parameters)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == model_of(str(folder)).parameters
