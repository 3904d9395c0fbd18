"""Answers on the disk by what was asked: shared by processes, kept for resumed runs."""

import asyncio
import fcntl
import logging
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
_BUSY_S = 1.0  # waited for another process's write; the cache is there to save time
_SAY_EVERY = 1000  # warnings: a disk that is full is so for every answer
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SIDES = ("", "-wal", "-shm")


class AnswerCache:
    """Texts by key, in SQLite with a write-ahead log: readers never wait, a kill loses nothing.

    Trouble with the file is never the caller's: it is logged, counted in ``warnings``, and costs
    no more than answers that are asked again. A damaged file is set aside and a new one begun.
    All work is done in one thread of its own, so that a slow disk holds up no event loop.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.warnings = 0
        self._thread = ThreadPoolExecutor(1, "answer-cache")
        self._connection: sqlite3.Connection | None = None
        self._opened = 0  # inode: which file the connection reads

    async def get(self, key: str) -> str | None:
        """Return the text of ``key``, None when it is not there."""
        statement = "SELECT text FROM answers WHERE key = ?"
        running = asyncio.get_running_loop()
        rows = await running.run_in_executor(self._thread, self._execute, statement, key)
        return rows[0][0] if rows and isinstance(rows[0][0], str) else None

    def put(self, key: str, text: str) -> None:
        """Keep ``text``, without waiting for it."""
        statement = "INSERT OR REPLACE INTO answers VALUES (?, ?)"
        self._thread.submit(self._execute, statement, key, text)

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._thread.submit(self._close)
        self._thread.shutdown()

    def _execute(self, statement: str, *values: str) -> list[Any]:
        try:
            for _ in range(2):
                try:
                    return self._open().execute(statement, values).fetchall()
                except sqlite3.DatabaseError as error:
                    code = getattr(error, "sqlite_errorcode", 0)  # absent where Python objects
                    if code & 0xFF not in _DAMAGED:
                        raise
                    self._set_aside(error)
        except (sqlite3.Error, OSError) as error:
            self._close()  # it may be half open
            self._warn(f"{error}; answers are neither read nor kept for now")
        return []

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._alone():
                connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
                self._connection, self._opened = connection, self._inode()
                # Before anything is read: a file that another process creates is found whole.
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT NOT NULL)"
                    " WITHOUT ROWID"
                )
        return self._connection

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """Rename the damaged file, unless another process has done so."""
        damaged = self._opened
        self._close()
        with self._alone():
            if self._inode() != damaged:
                return
            aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
            for side in _SIDES:
                with suppress(FileNotFoundError):
                    os.replace(f"{self.path}{side}", f"{aside}{side}")
        self._warn(f"{error}; it is now {aside.name}, and a new one is begun", always=True)

    def _alone(self) -> "_Lock":
        return _Lock(self.path.with_name(f".{self.path.name}.lock"))

    def _inode(self) -> int:
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            return 0

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _warn(self, what: str, *, always: bool = False) -> None:
        self.warnings += 1
        if always or self.warnings % _SAY_EVERY == 1:
            _log.warning("answer cache %s: %s (warning %d)", self.path, what, self.warnings)


class _Lock:
    """A file that one process holds at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._file = open(self._path, "ab")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()
