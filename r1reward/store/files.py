"""Atomic replacement of files, and locks of folders."""

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a path beside ``path`` to write; it takes its place when the block ends well.

    Whoever reads ``path`` meanwhile, or after a kill, finds the old content or the new one, on
    the disk. A block that raises leaves nothing behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield part
        _to_disk(part)
        os.replace(part, path)
        _to_disk(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def holding(lock: Path, busy: Exception) -> Iterator[None]:
    """Keep other processes out until the block ends, however this process ends.

    Args:
        lock: file that all of them ask for; its folder is made.
        busy: what is raised where another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w") as file:
        hold(file, busy)
        yield


def hold(file: IO[str] | IO[bytes], busy: Exception) -> None:
    """Keep other processes from holding an open file until it is closed.

    Args:
        file: closed where another process holds it.
        busy: what is raised then.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise busy from None


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
