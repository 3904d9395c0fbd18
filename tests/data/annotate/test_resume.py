"""An annotation that is killed goes on where it was."""

import collections
import os
import signal
import subprocess
import sys

from support.annotate import PHOTOS, journal, manifest
from support.waiting import wait_for

from r1reward.config.compose import REPO


def annotate(tmp_path, name, *overrides):
    return [
        sys.executable,
        *("-m", "r1reward.tools.annotate", f"input={PHOTOS / 'validation.jsonl'}"),
        *(f"out={tmp_path / name}", "judge=oracle", "judge._target_=support.logged_judge.Logged"),
        *("judge.accuracy=0.5", f"+judge.log={tmp_path / name}.log", *overrides),
    ]


def calls(tmp_path, name):
    log = tmp_path / f"{name}.log"
    return collections.Counter(log.read_text().splitlines() if log.exists() else [])


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path) -> None:
    env = {**os.environ, "PYTHONPATH": str(REPO / "tests")}
    options = {"cwd": REPO, "env": env, "stdout": subprocess.DEVNULL}
    subprocess.run(annotate(tmp_path, "whole"), **options, check=True)
    killed = subprocess.Popen(annotate(tmp_path, "out", "+judge.most=200"), **options)
    wait_for(lambda: killed.poll() is not None or calls(tmp_path, "out").total() >= 150)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not list((tmp_path / "out").glob("*.parquet"))
    assert 150 <= calls(tmp_path, "out").total() <= 200 < calls(tmp_path, "whole").total()
    asked, answered = calls(tmp_path, "out").total(), len(journal(tmp_path / "out"))
    assert asked - 4 <= answered <= asked, "at most what was in flight is missing"
    path = tmp_path / "out" / "answers" / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-20])  # and the last line is torn

    subprocess.run(annotate(tmp_path, "out"), **options, check=True)
    again = calls(tmp_path, "out").total() - calls(tmp_path, "whole").total()
    assert again == asked - answered + 1, "asked twice: only what the journal does not have"
    assert set(calls(tmp_path, "out")) == set(calls(tmp_path, "whole"))
    whole, after = manifest(tmp_path / "whole"), manifest(tmp_path / "out")
    assert after["shards"] == whole["shards"]
    assert after["annotation"] == whole["annotation"]

    subprocess.run(annotate(tmp_path, "out"), **options, check=True)
    assert calls(tmp_path, "out").total() == calls(tmp_path, "whole").total() + again
    assert manifest(tmp_path / "out")["shards"] == whole["shards"]
