"""Worker of one job of a sweep, in its own process: ``python -m r1reward.sweep.worker FOLDER``.

Every launcher ends up here, on the machine where the job runs, so that what a job is, how it is
interrupted and what is recorded of its end are the same everywhere.
"""

import ctypes
import fcntl
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from r1reward.machine.signals import interruptible
from r1reward.store.rundir import JournalRow, RunDir
from r1reward.sweep.job import Command, Job, State

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)
_PATIENCE = 60.0  # seconds that an interrupted run has to clean up after itself
_REASON_LINES = 6


def work(folder: Path) -> None:
    """Run the job of ``folder`` to its end, unless it has finished; write how it ended.

    Whoever comes second waits for the first, and finds its result.

    Raises:
        KeyboardInterrupt: when this process is told to end (SIGINT, SIGTERM); the run has been
            interrupted, and no end is written.
    """
    job = Job((), folder)
    with _exclusive(folder / "lock") as lock, interruptible():
        if job.state is State.FINISHED:
            return
        what = job.begin()
        began = time.time()
        with open(job.console, "ab", buffering=0) as console:
            start = console.tell()
            status = _run(what, console, lock)
        job.finish(
            status=status,
            interrupted=_interrupted(job.run, status, began),
            reason=_reason(job, status, start, began),
            seconds=round(time.time() - began, 1),
            host=socket.gethostname(),
        )


@contextmanager
def _exclusive(path: Path) -> Iterator[int]:
    """Hold the lock of a file; wait for it where somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _run(what: Command, console: IO[bytes], lock: int) -> int:
    """Run a command; return its exit status, negative for a signal."""
    process = subprocess.Popen(
        what["command"],
        cwd=what["cwd"],
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=subprocess.STDOUT,
        pass_fds=[lock],  # where this process is killed, the run holds the lock to its own end
        start_new_session=True,  # an interruption is passed on below, once
        preexec_fn=_bound_to_parent,
    )
    try:
        return process.wait()
    except BaseException:  # a scheduler's handler may also exit
        process.terminate()
        try:
            process.wait(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise


def _bound_to_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # nobody watches it any more: end
    # Slurm announces the end of a job to all of its processes; it is for the worker to act.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _failure(run: RunDir, since: float) -> JournalRow | None:
    """Return what the run's own journal says about its failure, if it came that far."""
    failed = [row for row in run.rows("event") if row["event"] == "failed" and row["time"] >= since]
    return failed[-1] if failed else None


def _interrupted(run: RunDir, status: int, since: float) -> bool:
    failure = _failure(run, since)
    if failure is not None:
        return bool(failure["error"] == "KeyboardInterrupt")
    return status in (-signal.SIGTERM, -signal.SIGINT)


def _reason(job: Job, status: int, start: int, since: float) -> str:
    if status == 0:
        return ""
    failure = _failure(job.run, since)
    if failure is not None:
        return str(failure["reason"])
    if status < 0:
        name = signal.Signals(-status).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    with open(job.console, "rb") as console:
        console.seek(start)
        lines = console.read().decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-_REASON_LINES:]) or f"exit status {status}"


if __name__ == "__main__":
    try:
        work(Path(sys.argv[1]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
