"""Several endpoints as one: who is asked next, who is set aside, and when it is asked again."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from r1reward.core.errors import R1RewardError
from r1reward.endpoint.throttle import Slot, Throttle

_FAILURES = 3  # in a row, set an endpoint aside; one is enough when nobody answers at all
_FIRST_PROBE, _LAST_PROBE = 0.25, 10.0  # seconds between probes, doubling
_TRIAL_S = 5.0  # how long others wait for a trial when there is no other hope
_LONGEST_REST = 600.0  # seconds; an endpoint may ask for a day


class DownError(R1RewardError):
    """No endpoint is in service, and has not been for longer than anybody should wait."""


class Endpoint:
    """One address, and how it is doing.

    Attributes:
        url: its base address.
        throttle: how much it bears.
        running: requests it is working on.
        failures: in a row.
        up: whether it is in service; otherwise it is probed.
        trial: it came back, and has one request at a time to show that it works.
        trial_ends: time of the event loop until which others wait for that.
        rests_until: time of the event loop before which it wants no request.
        form: which of the preset's forms it takes, as far as is known.
    """

    def __init__(self, url: str, most: int) -> None:
        self.url = url
        self.throttle = Throttle(most)
        self.running = self.failures = 0
        self.up, self.trial = True, False
        self.rests_until = self.trial_ends = 0.0
        self.form = 0
        self.probe_after = _FIRST_PROBE

    def has_room(self, now: float) -> bool:
        """Return whether a request may be sent at once."""
        places = 1 if self.trial else self.throttle.limit
        return self.up and self.rests_until <= now and self.running < places


class Endpoints:
    """Lends places at the least loaded endpoint in service.

    One that fails is set aside and probed until somebody answers there; the last one in service
    stays unless it is gone, as there is no better one. While none answers, whoever asks waits, and
    is served when one comes back. But once nothing has gone well for ``patience`` seconds,
    :class:`DownError` is the reply until something does: an outage may cost one wait, and not one
    for every step of a training run.
    """

    def __init__(
        self,
        urls: Sequence[str],
        most: int,
        patience: float,
        alive: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._all = [Endpoint(url, most) for url in urls]
        self._most, self._patience, self._alive = most, patience, alive
        # Few wait for news at a time, the others in order: each piece of news wakes all who do.
        self._gate = asyncio.Semaphore(most * len(urls))
        self._news = asyncio.Event()
        self._failing_since: float | None = None
        self._probes: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def place(self, ends: float) -> AsyncIterator[tuple[Endpoint, Slot]]:
        """Wait for a place at an endpoint, until ``ends`` on the clock of the event loop.

        Raises:
            TimeoutError: when there is none by then.
            DownError: when there is nobody to wait for.
        """
        async with asyncio.timeout_at(ends):
            await self._gate.acquire()
        try:
            endpoint = await self._next(ends)
            endpoint.running += 1
            endpoint.trial_ends = asyncio.get_running_loop().time() + _TRIAL_S
            try:
                async with endpoint.throttle.slot() as slot:
                    yield endpoint, slot
            finally:
                endpoint.running -= 1
                self._tell()
        finally:
            self._gate.release()

    def answered(self, endpoint: Endpoint) -> None:
        """Note a good answer."""
        self._failing_since = None
        endpoint.failures, endpoint.probe_after = 0, _FIRST_PROBE
        if endpoint.trial or not endpoint.up:
            endpoint.up, endpoint.trial = True, False
            endpoint.throttle = Throttle(self._most)  # what it bore before says nothing any more
            self._tell()

    def failed(self, endpoint: Endpoint, *, gone: bool = False) -> None:
        """Note a failure that is the endpoint's own; ``gone`` when nobody answered there."""
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
        endpoint.failures += 1
        worn = endpoint.trial or endpoint.failures >= _FAILURES
        if endpoint.up and (gone or (worn and (self.others(endpoint) or self._hopeless(now)))):
            endpoint.up = False
            probe = asyncio.create_task(self._probe(endpoint))
            self._probes.add(probe)
            probe.add_done_callback(self._probes.discard)
            self._tell()

    def rest(self, endpoint: Endpoint, seconds: float) -> None:
        """Leave the endpoint alone for a while, as it asked."""
        seconds = min(seconds, _LONGEST_REST) * random.uniform(1, 1.1)  # noqa: S311 - jitter
        now = asyncio.get_running_loop().time()
        endpoint.rests_until = max(endpoint.rests_until, now + seconds)

    def others(self, endpoint: Endpoint) -> bool:
        """Return whether another endpoint is in service."""
        return any(other.up for other in self._all if other is not endpoint)

    async def close(self) -> None:
        """End the probes."""
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)

    async def _next(self, ends: float) -> Endpoint:
        clock = asyncio.get_running_loop().time
        while True:
            now = clock()
            if now >= ends:
                raise TimeoutError
            if free := [one for one in self._all if one.has_room(now)]:
                return min(free, key=lambda one: (one.running, random.random()))  # noqa: S311
            rests = [one.rests_until for one in self._all if one.up and one.rests_until > now]
            if len(rests) == len(self._all) and min(rests) >= ends:
                raise TimeoutError
            until = min([ends, *rests])
            if self._hopeless(now) and not any(one.up and not one.trial for one in self._all):
                trials = [one.trial_ends for one in self._all if one.up and one.trial_ends > now]
                if not trials:
                    raise DownError
                until = min([until, *trials])
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                continue  # to see whether that was the end

    def _hopeless(self, now: float) -> bool:
        return self._failing_since is not None and now - self._failing_since > self._patience

    def _tell(self) -> None:
        """Wake everybody who waits for an endpoint to have room."""
        self._news.set()
        self._news = asyncio.Event()

    async def _probe(self, endpoint: Endpoint) -> None:
        while not endpoint.up:
            await asyncio.sleep(endpoint.probe_after * random.uniform(0.5, 1))  # noqa: S311 - jitter
            endpoint.probe_after = min(2 * endpoint.probe_after, _LAST_PROBE)
            if await self._alive(endpoint.url) and not endpoint.up:
                endpoint.up = endpoint.trial = True
                self._tell()
