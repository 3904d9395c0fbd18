"""The janitor ends and removes what carries the run's token, and nothing else."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

from support.waiting import HANG

from r1reward.machine import janitor

SLEEPER = """
import sys, time
from multiprocessing import shared_memory, resource_tracker
segment = shared_memory.SharedMemory(name=sys.argv[1], create=True, size=4096)
print("ready", flush=True)
time.sleep(1800)
"""


def _sleeper(token: str, segment: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, segment],
        env={**os.environ, janitor.TOKEN: token},
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    return process


def test_a_dead_launcher_leaves_nothing_behind(tmp_path: Path) -> None:
    token, other = uuid.uuid4().hex[:12], uuid.uuid4().hex[:12]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "file").touch()
    socket = Path(f"/tmp/rl-colocate-zmq-{token}-replica-0-rank-0.sock")
    socket.touch()
    ours, theirs = _sleeper(token, f"r1{token}"), _sleeper(other, f"r1{other}")
    watcher = janitor.start(token, scratch)
    try:
        assert ours.pid in janitor.processes(token)
        assert theirs.pid not in janitor.processes(token)
        assert Path(f"/dev/shm/r1{token}").exists()
        # A launcher that is killed with SIGKILL closes the pipe in the same way.
        watcher.stdin.close()
        assert watcher.wait(timeout=HANG) == 0
        assert ours.wait(timeout=HANG) != 0
        assert not Path(f"/dev/shm/r1{token}").exists()
        assert not scratch.exists()
        assert not socket.exists()
        assert theirs.poll() is None
        assert Path(f"/dev/shm/r1{other}").exists()
    finally:
        theirs.kill()
        theirs.wait()
        Path(f"/dev/shm/r1{other}").unlink(missing_ok=True)


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    token = uuid.uuid4().hex[:12]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True);"
            "time.sleep(1800)",
        ],
        env={**os.environ, janitor.TOKEN: token},
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    janitor.stop([process.pid])
    assert process.wait(timeout=HANG) == -9
