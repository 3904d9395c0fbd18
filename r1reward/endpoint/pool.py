"""Pool of addresses: the next one to ask, with failing ones set aside and probed."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from r1reward.core.errors import R1RewardError
from r1reward.endpoint.fault import FaultKind
from r1reward.endpoint.health import Health
from r1reward.endpoint.throttle import Slot, Throttle

_FAILURES = 3  # in a row, set an address aside; one is enough when nobody answers at all
_FIRST_PROBE, _LAST_PROBE = 0.25, 10.0  # seconds between probes, doubling
_TRIAL_S = 5.0  # how long others wait for a trial when there is no other hope
_LONGEST_REST = 600.0  # seconds; an endpoint may ask for a day


class DownError(R1RewardError):
    """No address is in service, and none has been for longer than anybody should wait."""


class BusyError(R1RewardError):
    """No address has room before the deadline.

    Attributes:
        wait: seconds that the addresses asked to be left alone; 0 when they are merely full.
    """

    def __init__(self, wait: float = 0.0) -> None:
        super().__init__(wait)
        self.wait = wait


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
        rests_until: time of the event loop before which it is sent no request.
        rest: seconds for which it asked to be left alone, the last time.
        form: which of a question's forms it takes, as far as is known.
    """

    def __init__(self, url: str, most: int) -> None:
        self.url = url
        self.throttle = Throttle(most)
        self.running = self.failures = 0
        self.up, self.trial = True, False
        self.rests_until = self.rest = self.trial_ends = 0.0
        self.form = 0
        self.probe_after = _FIRST_PROBE

    def has_room(self, now: float) -> bool:
        """Return whether a request may be sent at once."""
        places = 1 if self.trial else self.throttle.limit
        return self.up and self.rests_until <= now and self.running < places


class Endpoints:
    """Lends places at the least loaded address in service.

    One that fails is set aside and probed until somebody answers there; the last one in service
    stays unless it is gone, as there is no better one. While none answers, whoever asks waits, and
    is served when one comes back. But once ``health`` is lost :class:`DownError` is the reply until
    something goes well: an outage may cost one wait, and not one for every step of a training run.

    Args:
        urls: base addresses.
        most: requests in flight at each of them.
        health: of all of them together.
        alive: whether somebody answers at an address.
    """

    def __init__(
        self,
        urls: Sequence[str],
        most: int,
        health: Health,
        alive: Callable[[str], Awaitable[bool]],
    ) -> None:
        self.health = health
        self._all = [Endpoint(url, most) for url in urls]
        self._most, self._alive = most, alive
        # Few wait for news at a time, the others in order: each piece of news wakes all who do.
        self._gate = asyncio.Semaphore(most * len(urls))
        self._news = asyncio.Event()
        self._probes: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def place(self, ends: float) -> AsyncIterator[tuple[Endpoint, Slot]]:
        """Wait for a place at an address, until ``ends`` on the clock of the event loop.

        Raises:
            BusyError: when there is none by then.
            DownError: when there is nobody to wait for.
        """
        try:
            async with asyncio.timeout_at(ends):
                await self._gate.acquire()
        except TimeoutError:
            raise BusyError from None
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
        self.health.answered()
        endpoint.failures, endpoint.probe_after = 0, _FIRST_PROBE
        if endpoint.trial or not endpoint.up:
            endpoint.up, endpoint.trial = True, False
            endpoint.throttle = Throttle(self._most)  # what it bore before says nothing any more
            self._tell()

    def failed(self, endpoint: Endpoint, kind: FaultKind) -> None:
        """Note a fault that is the endpoint's own, and set it aside if that is of any use."""
        self.health.failed(overloaded=kind == "rate_limit")
        if kind == "rate_limit" and not self.health.pointless:
            return  # it works, on other requests
        endpoint.failures += 1
        gone = kind in ("connection", "refused", "rate_limit")
        worn = endpoint.trial or endpoint.failures >= _FAILURES
        if endpoint.up and (gone or (worn and (self.others(endpoint) or self.health.lost))):
            endpoint.up = False
            probe = asyncio.create_task(self._probe(endpoint))
            self._probes.add(probe)
            probe.add_done_callback(self._probes.discard)
            self._tell()

    def rest(self, endpoint: Endpoint, seconds: float) -> None:
        """Leave the endpoint alone for a while, as it asked."""
        endpoint.rest = seconds
        seconds = min(seconds, _LONGEST_REST) * random.uniform(1, 1.1)  # noqa: S311 - jitter
        now = asyncio.get_running_loop().time()
        endpoint.rests_until = max(endpoint.rests_until, now + seconds)

    def others(self, endpoint: Endpoint) -> bool:
        """Return whether another address is in service."""
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
                raise BusyError
            if free := [one for one in self._all if one.has_room(now)]:
                return min(free, key=lambda one: (one.running, random.random()))  # noqa: S311
            rests = [one.rests_until for one in self._all if one.up and one.rests_until > now]
            if len(rests) == len(self._all) and min(rests) >= ends:
                raise BusyError(min(one.rest for one in self._all))
            until = min([ends, *rests, *self.health.lost_at(now)])
            if self.health.lost and not any(one.up and not one.trial for one in self._all):
                trials = [one.trial_ends for one in self._all if one.up and one.trial_ends > now]
                if not trials:
                    raise DownError
                until = min([until, *trials])
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                continue  # to see whether that was the end

    def _tell(self) -> None:
        """Wake everybody who waits for an address to have room."""
        self._news.set()
        self._news = asyncio.Event()

    async def _probe(self, endpoint: Endpoint) -> None:
        while not endpoint.up:
            await asyncio.sleep(endpoint.probe_after * random.uniform(0.5, 1))  # noqa: S311 - jitter
            endpoint.probe_after = min(2 * endpoint.probe_after, _LAST_PROBE)
            if await self._alive(endpoint.url) and not endpoint.up:
                endpoint.up = endpoint.trial = True
                self._tell()
