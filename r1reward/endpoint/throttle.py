"""Throttle of an endpoint: concurrency grows until a refusal, then halves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_START = 16


class Throttle:
    """Bounds what is in flight, up to ``most``.

    The bound doubles with each full round of requests that goes well until the endpoint is
    overloaded for the first time, and grows by one a round from then on. It halves when the
    endpoint is overloaded; requests that began before it halved do not halve it again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(_START, most))
        self._running = 0
        self._halved = 0  # how often
        self._free = asyncio.Condition()

    @property
    def limit(self) -> int:
        """Return the bound."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator["Slot"]:
        """Wait for a place, and learn from how the request in it went."""
        async with self._free:
            await self._free.wait_for(lambda: self._running < self.limit)
            self._running += 1
        slot = Slot()
        began = self._halved
        try:
            yield slot
        finally:
            if not slot.bad:
                more = 1 / self._limit if self._halved else 1
                self._limit = min(self._most, self._limit + more)
            elif began == self._halved:
                self._limit = max(1.0, self._limit / 2)
                self._halved += 1
            async with self._free:
                self._running -= 1
                self._free.notify_all()


class Slot:
    """A place for one request."""

    def __init__(self) -> None:
        self.bad = False

    def overloaded(self) -> None:
        """Say that the endpoint had too much to do."""
        self.bad = True
