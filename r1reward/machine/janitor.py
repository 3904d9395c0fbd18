"""Clean-up after a run, however it ends: processes, shared memory, sockets, temporary files.

Ray's daemons die with the driver, but engine processes, POSIX shared memory and sockets can
outlive it. The launcher starts this module as a small process of its own and holds the write end
of its standard input: end of file means that the launcher is gone, killed or not. Every process
of the run carries the run's token in its environment, so nothing else is ever touched.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

TOKEN = "R1REWARD_RUN"  # noqa: S105  (the name of a variable, no secret)
_SHM = Path("/dev/shm")  # noqa: S108  (where POSIX shared memory is, by definition)
_POLL_SECONDS = 2.0
_GRACE_SECONDS = 5.0


def start(token: str, scratch: Path) -> subprocess.Popen[bytes]:
    """Start the janitor of the run ``token``; it acts once its standard input is closed.

    Args:
        token: value of the environment variable ``R1REWARD_RUN`` in every process of the run.
        scratch: the run's private temporary directory, deleted at the end.
    """
    environment = {key: value for key, value in os.environ.items() if key != TOKEN}
    return subprocess.Popen(
        [sys.executable, "-m", "r1reward.machine.janitor", token, str(scratch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
    )


def processes(token: str) -> list[int]:
    """Return the pids of the processes that carry ``token``."""
    marker = f"{TOKEN}={token}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if marker in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def shared_memory(pids: Iterable[int]) -> set[Path]:
    """Return the files of ``/dev/shm`` that the processes have mapped."""
    found: set[Path] = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                path = line.split(maxsplit=5)[-1].removesuffix(" (deleted)")
                if path.startswith(f"{_SHM}/"):
                    found.add(Path(path))
    return found


def stop(pids: Iterable[int]) -> None:
    """End the processes: politely first, then for certain."""
    for signal_number, patience in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, 1.0)):
        remaining = [pid for pid in pids if _alive(pid)]
        for pid in remaining:
            with contextlib.suppress(OSError):
                os.kill(pid, signal_number)
        deadline = time.monotonic() + patience
        while any(map(_alive, remaining)) and time.monotonic() < deadline:
            time.sleep(0.1)


def clean(token: str, scratch: Path, segments: set[Path]) -> None:
    """Remove everything the run ``token`` left behind."""
    pids = processes(token)
    segments |= shared_memory(pids)
    stop(pids)
    sockets = Path("/tmp").glob(f"rl-colocate-zmq-{token}-*")  # noqa: S108  (verl's location)
    for path in (*segments, *sockets):
        path.unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def main(token: str, scratch: Path) -> None:
    """Watch until the launcher is gone, then clean up."""
    segments: set[Path] = set()
    launcher = os.getppid()
    while os.getppid() == launcher:  # a process that was forked may hold its end of the pipe
        ready, _, _ = select.select([sys.stdin], [], [], _POLL_SECONDS)
        if ready and not sys.stdin.buffer.read(1):
            break
        segments |= shared_memory(processes(token))
    clean(token, scratch, segments)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
