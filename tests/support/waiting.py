"""Waiting for another process, on a machine of any speed and load."""

import time
from collections.abc import Callable
from pathlib import Path

HANG = 600.0  # seconds; nothing but a process that hangs takes so long


def wait_for(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail when it does not within ``HANG`` seconds."""
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened for {HANG:.0f} seconds"
        time.sleep(0.02)


def ended(pid: int) -> bool:
    """Say whether a process has ended, even if its parent has not asked for its status yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def waits_for_lock(pid: int) -> bool:
    """Say whether a process is blocked by a lock on a file that another one holds."""
    lines = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return any("->" in fields and str(pid) in fields for fields in lines)
