"""The console of a command: one live line on a terminal, plain lines elsewhere."""

import time
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live as LiveDisplay
from rich.spinner import Spinner
from rich.text import Text

_EVERY = 10.0  # seconds between lines where there is no terminal


_NO_TERMINAL = 10_000  # characters: a file has no width to wrap at


def console_on(stream: TextIO) -> Console:
    """Return a console that fits a terminal and that leaves lines whole in a file or a pipe."""
    return Console(file=stream, width=None if stream.isatty() else _NO_TERMINAL, highlight=False)


class Status:
    """A line of a terminal that is drawn again and again.

    Unlike rich's own it leaves ``sys.stdout`` alone: what libraries print belongs into the log.
    """

    def __init__(self, console: Console) -> None:
        self._spinner = Spinner("dots", text="starting")
        self._display = LiveDisplay(
            self._spinner,
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.start, self.stop = self._display.start, self._display.stop

    def update(self, text: str) -> None:
        """Show ``text``, as it is."""
        self._spinner.update(text=Text(text))


class Live:
    """One line about work in progress: live on a terminal, else printed every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = self._said = time.monotonic()
        self._status = Status(console) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def __call__(self, text: str) -> None:
        """Show ``text`` behind the time that has passed, or not yet."""
        if self._status is not None:
            self._status.update(self._line(text))
        elif time.monotonic() - self._said > _EVERY:
            self.say(text)

    def say(self, text: str) -> None:
        """Print ``text`` behind the time that has passed, for good."""
        self._said = time.monotonic()
        self._console.print(self._line(text), markup=False)

    def _line(self, text: str) -> str:
        return f"{clock(self.seconds)} {text}"


def clock(seconds: float) -> str:
    """Return ``seconds`` as hours, minutes and seconds; runs may take days."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"
