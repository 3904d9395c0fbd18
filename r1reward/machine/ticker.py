"""Live line of a command that asks a judge many prompts."""

from collections.abc import Sized
from typing import Protocol

from rich.console import Console

from r1reward.machine.console import Live

_SHOWN = 160  # characters of a fault


class Trouble(Protocol):
    """What a ticker reads of an endpoint."""

    retries: int

    @property
    def last(self) -> str:
        """The last fault; empty while there was none."""


class Asked(Protocol):
    """What a ticker reads of a judge."""

    @property
    def trouble(self) -> Trouble:
        """What its endpoint does wrong."""


class Watched(Protocol):
    """What a ticker reads of an evaluation."""

    @property
    def judge(self) -> Asked:
        """Who is asked."""

    asked: int
    reused: int
    done: float

    @property
    def faults(self) -> Sized:
        """Those that failed for good."""
        ...


class Ticker(Live):
    """How far an evaluation is; call it now and then."""

    def __init__(self, console: Console, watched: Watched, items: int) -> None:
        super().__init__(console)
        self._watched, self._items = watched, items

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self.say(self._text())

    def tick(self) -> None:
        """Show it."""
        self(self._text())

    def _text(self) -> str:
        watched = self._watched
        rate = watched.asked / max(self.seconds, 1e-9)
        parts = [f"{watched.done:.0f}/{self._items} items"]
        parts.append(f"{watched.asked} answers ({rate:.1f}/s)")
        if watched.reused:
            parts.append(f"{watched.reused} from the journal")
        if watched.faults:
            parts.append(f"{len(watched.faults)} failed")
        trouble = watched.judge.trouble
        if trouble.retries:
            parts.append(f"{trouble.retries} retries")
        if trouble.last:
            parts.append(f"last fault {trouble.last[:_SHOWN]}")
        return ", ".join(parts)
