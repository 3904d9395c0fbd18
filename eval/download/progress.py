"""Progress of a download: a bar on a terminal, else a line every ten seconds."""

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from r1reward.core.errors import R1RewardError
from r1reward.machine.console import clock

_EVERY = 10.0  # seconds between lines where there is no terminal


class StoppedError(R1RewardError):
    """Raised in the threads of a download that was given up."""


class Transfers:
    """Counts what arrives, from any thread."""

    def __init__(self, console: Console, files: int, size: int | None) -> None:
        """Expect so many files and ``size`` bytes (None: nobody knows)."""
        self._console, self._files, self._size = console, files, size
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._arrived = self._whole = 0
        self._began = self._said = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> "Transfers":
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
            self._bar = Progress(*columns, TransferSpeedColumn(), console=self._console)
            self._bar.add_task(self._count(), total=self._size)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        else:
            self._console.print(self._line(), markup=False)

    def add(self, size: int) -> None:
        """Count bytes that arrived; a negative number takes back what is asked again."""
        if self._stopped.is_set():
            raise StoppedError
        with self._lock:
            self._arrived += size
            now = time.monotonic()
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=self._arrived)
            elif now - self._said > _EVERY:
                self._said = now
                self._console.print(self._line(), markup=False)

    def whole(self) -> None:
        """Count a file that is complete and right."""
        with self._lock:
            self._whole += 1
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], description=self._count())

    def stop(self) -> None:
        """End the threads that still count."""
        self._stopped.set()

    def meter(self) -> "type[_Meter]":
        """Return what huggingface_hub takes for its progress bar (``tqdm_class``)."""
        return type("Meter", (_Meter,), {"transfers": self})

    def _count(self) -> str:
        return f"{self._whole}/{self._files} files"

    def _line(self) -> str:
        passed = clock(time.monotonic() - self._began)
        of = "" if self._size is None else f" of {decimal(self._size)}"
        return f"{passed} {self._count()}, {decimal(self._arrived)}{of}"


class _Meter:
    """As much of a tqdm bar as huggingface_hub uses; one file, or one attempt at it."""

    transfers: Transfers

    def __init__(self, *_: object, **__: object) -> None:
        self.total = 0

    def __enter__(self) -> "_Meter":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, size: int = 1) -> None:
        self.transfers.add(size)

    def update_transfer(self, size: int) -> None:
        """Ignored: bytes on the wire, where the content is compressed; it makes one bar of two."""

    def set_postfix_str(self, *_: object, **__: object) -> None:
        """Ignored: a speed."""

    def set_transfer_postfix_str(self, *_: object, **__: object) -> None:
        """Ignored: a speed."""

    def close(self) -> None:
        """Nothing to close."""
