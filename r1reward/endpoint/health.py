"""Health of a model: whether any of its addresses can still be expected to answer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Health:
    """Notes how requests end, and says when waiting has become pointless.

    Until the first answer that is ``patience_s`` after the first request: a wrong address, key or
    model stays wrong. From then on it is ``deadline_s`` after the last answer.

    Attributes:
        proven: whether there has been an answer at all.
    """

    def __init__(self, patience_s: float, deadline_s: float) -> None:
        self.proven = False
        self._patience_s, self._deadline_s = min(patience_s, deadline_s), deadline_s
        self._first: float | None = None  # request; times are those of the event loop
        self._failing_since: float | None = None
        self._running: dict[object, float] = {}
        self._slowest = 0.0  # seconds of the slowest request that ended without an answer

    @contextmanager
    def request(self) -> Iterator[None]:
        """Note one request for as long as it lasts."""
        request, began = object(), _now()
        self._first = began if self._first is None else self._first
        self._running[request] = began
        try:
            yield
        finally:
            del self._running[request]
            self._slowest = max(self._slowest, _now() - began)

    def answered(self) -> None:
        """Note a good answer."""
        self.proven, self._failing_since = True, None

    def failed(self, *, overloaded: bool) -> None:
        """Note a fault; ``overloaded`` is one of an endpoint that answers others meanwhile."""
        if self._failing_since is None and not (overloaded and self.proven):
            self._failing_since = _now()

    @property
    def lost(self) -> bool:
        """Whether nobody should wait any longer."""
        limit = self._limit()
        return limit is not None and _now() >= limit and (self.proven or not self._slow_one())

    @property
    def pointless(self) -> bool:
        """Whether it is lost and was never well: then something is wrong with the settings."""
        return not self.proven and self.lost

    def lost_at(self, now: float) -> list[float]:
        """Return the time after ``now`` at which it may be lost, if there is one."""
        limit = self._limit()
        return [limit] if limit is not None and limit > now else []

    def _limit(self) -> float | None:
        if self._failing_since is None or self._first is None:
            return None
        if self.proven:
            return self._failing_since + self._deadline_s
        return self._first + self._patience_s

    def _slow_one(self) -> bool:
        """Return whether a request is running that has taken longer than any that failed.

        An endpoint that refuses what is too much for it may be working on the rest.
        """
        return any(_now() - began > self._slowest for began in self._running.values())


def _now() -> float:
    return asyncio.get_running_loop().time()
