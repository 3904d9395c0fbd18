"""Hours of waiting in milliseconds: an event loop whose clock jumps to the next thing to do.

A test of pauses and deadlines then sees exact times, whatever the machine's load. Nothing in it may
use a socket or a thread: those live in real time.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never sleeps; ``time()`` moves by whatever it would have slept."""

    def __init__(self) -> None:
        super().__init__(_Jumping(self))
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for something that never comes"
        self._loop.jump(max(0.0, timeout))
        return super().select(0)


def run_virtually(main: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """Return what the coroutine ``main`` returns, and the seconds that it would have taken."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        found = runner.run(main)
        return found, runner.get_loop().time()
