"""An annotation that is killed goes on where it was."""

import collections
import os
import signal
import subprocess
import sys
import textwrap
import time

from support.annotate import PHOTOS, journal, manifest

from r1reward.config.compose import REPO

# Every call that was answered leaves a line in ``log``, after ``pause``.
LOGGED = textwrap.dedent(
    """
    import asyncio
    from r1reward.judge.oracle import OracleJudge

    class Logged(OracleJudge):
        window = 4

        def __init__(self, protocol, media_root, accuracy, seed, log, pause):
            super().__init__(protocol, media_root, accuracy, seed)
            self._log, self._pause = log, pause

        async def judge(self, call, votes):
            for vote in votes:
                await asyncio.sleep(self._pause)
                with open(self._log, "a") as file:
                    file.write(f"{call.item.id} {vote}\\n")
                async for reply in super().judge(call, [vote]):
                    yield reply
    """
)


def logged(tmp_path, name, pause=0.0):
    (tmp_path / "logged_attempts.py").write_text(LOGGED)
    return [
        sys.executable,
        *("-m", "r1reward.tools.annotate", f"input={PHOTOS / 'validation.jsonl'}"),
        *(f"out={tmp_path / name}", "judge=oracle", "judge._target_=logged_attempts.Logged"),
        *("judge.accuracy=0.5", f"+judge.log={tmp_path / name}.log", f"+judge.pause={pause}"),
    ]


def calls(tmp_path, name):
    return collections.Counter((tmp_path / f"{name}.log").read_text().splitlines())


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path) -> None:
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    options = {"cwd": REPO, "env": env, "stdout": subprocess.DEVNULL}
    subprocess.run(logged(tmp_path, "whole"), **options, check=True)
    killed = subprocess.Popen(logged(tmp_path, "out", 0.005), **options)
    log, deadline = tmp_path / "out.log", time.monotonic() + 60
    while not log.exists() or log.read_text().count("\n") < 150:
        assert killed.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not list((tmp_path / "out").glob("*.parquet"))
    asked, answered = calls(tmp_path, "out").total(), len(journal(tmp_path / "out"))
    assert asked - 4 <= answered <= asked, "at most what was in flight is missing"
    path = tmp_path / "out" / "answers" / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-20])  # and the last line is torn

    subprocess.run(logged(tmp_path, "out", 0.005), **options, check=True)
    again = calls(tmp_path, "out").total() - calls(tmp_path, "whole").total()
    assert again == asked - answered + 1, "asked twice: only what the journal does not have"
    assert set(calls(tmp_path, "out")) == set(calls(tmp_path, "whole"))
    whole, after = manifest(tmp_path / "whole"), manifest(tmp_path / "out")
    assert after["shards"] == whole["shards"]
    assert after["annotation"] == whole["annotation"]

    subprocess.run(logged(tmp_path, "out", 0.005), **options, check=True)
    assert calls(tmp_path, "out").total() == calls(tmp_path, "whole").total() + again
    assert manifest(tmp_path / "out")["shards"] == whole["shards"]
