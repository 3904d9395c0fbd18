"""One case before a remote check, from the first request to the verdict or to giving up."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import aiohttp

from r1reward.consistency.base import Agreement, Case, CheckCall
from r1reward.consistency.prompts import Preset
from r1reward.endpoint import request as _chat
from r1reward.endpoint.pool import DownError, Endpoint, Endpoints
from r1reward.endpoint.request import Reply
from r1reward.endpoint.throttle import Slot

_FIRST_DELAY, _LONGEST_DELAY = 0.25, 8.0  # seconds
_LEAST_S = 0.05  # a request with less time than that can only fail
_UNUSABLE = ("nonsense", "unparsed")
_NOT_HERE = (401, 403, 404, 405)  # refusals that speak of the endpoint rather than of the text
_NO_FORM = (400, 422)  # as servers refuse a form that they do not know


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of one request, seconds in all, and how often an unusable answer is asked again."""

    request_s: float
    deadline_s: float
    retries: int


class Inquiry:
    """Asks until there is a verdict, a refusal, or no more time; keeps count of what it took.

    Attributes:
        text: the answer that held the verdict.
        detail: what went wrong last, for a person.
    """

    def __init__(
        self, client: aiohttp.ClientSession, endpoints: Endpoints, preset: Preset, limits: Limits
    ) -> None:
        self._client, self._endpoints = client, endpoints
        self._preset, self._limits = preset, limits
        self._clock = asyncio.get_running_loop().time
        self._ends = self._clock() + limits.deadline_s
        self._began: float | None = None
        self._requests = self._read = self._written = 0
        self.text = self.detail = ""

    async def ask(self, body: dict[str, Any], case: Case) -> Agreement:
        """Return the agreement on ``case``, which ``body`` shows to the check."""
        fault, unusable, delay = "", 0, _FIRST_DELAY
        while True:
            try:
                async with self._endpoints.place(self._ends - _LEAST_S) as (endpoint, slot):
                    reply, form = await self._request(endpoint, body)
                    elsewhere = self._note(endpoint, slot, reply)
            except DownError:
                self.detail = self.detail or "no endpoint is in service"
                return self._agreement(fault=fault or "down")
            except TimeoutError:
                self.detail = self.detail or "every endpoint was busy until the deadline"
                return self._agreement(fault=fault or "timeout")
            if reply.text is not None:
                consistent = self._preset.read(reply.text, case)
                if consistent is not None:
                    self.text = reply.text
                    return self._agreement(consistent)
                # It took the form, and did not hold the answer to it: another may do better.
                endpoint.form = max(endpoint.form, min(form + 1, len(self._preset.forms) - 1))
            if reply.fault == "timeout" and fault and self._clock() >= self._ends:
                return self._agreement(fault=fault)  # there was no time left to find out more
            fault = reply.fault or "unparsed"
            self.detail = reply.detail or f"no verdict in {reply.text!r:.200}"
            unusable += fault in _UNUSABLE
            if unusable > self._limits.retries or (fault == "refused" and not elsewhere):
                return self._agreement(fault=fault)
            if fault in ("server", "timeout", "rate_limit"):
                await self._pause(delay)
                delay = min(2 * delay, _LONGEST_DELAY)

    async def _request(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[Reply, int]:
        """Ask once, or until the endpoint takes the form; return that as well."""
        forms = self._preset.forms
        for form in range(endpoint.form, len(forms)):
            reply = await self._send(endpoint, {**body, **forms[form]})
            if reply.status not in _NO_FORM:
                break
        if reply.text is not None:  # otherwise the text was at fault, and not the form
            endpoint.form = max(endpoint.form, form)
        return reply, form

    async def _send(self, endpoint: Endpoint, body: dict[str, Any]) -> Reply:
        now = self._clock()
        self._began = now if self._began is None else self._began
        self._requests += 1
        seconds = max(_LEAST_S, min(self._limits.request_s, self._ends - now))
        reply = await _chat.ask(self._client, endpoint.url, body, seconds)
        self._read += reply.prompt_tokens
        self._written += reply.completion_tokens
        return reply

    def _note(self, endpoint: Endpoint, slot: Slot, reply: Reply) -> bool:
        """Tell the endpoint's keeper how it went; return whether a refusal may end elsewhere."""
        if reply.fault is None:
            self._endpoints.answered(endpoint)
        elif reply.fault == "refused":
            if reply.status in _NOT_HERE and self._endpoints.others(endpoint):
                self._endpoints.failed(endpoint, gone=True)
                return True
        else:
            if reply.fault != "nonsense":
                slot.overloaded()
            if reply.fault != "rate_limit":
                self._endpoints.failed(endpoint, gone=reply.fault == "connection")
            if reply.wait:
                self._endpoints.rest(endpoint, reply.wait)
        return False

    async def _pause(self, longest: float) -> None:
        left = self._ends - self._clock()
        await asyncio.sleep(min(random.uniform(0, longest), max(0.0, left)))  # noqa: S311 - jitter

    def _agreement(self, consistent: bool | None = None, fault: str | None = None) -> Agreement:
        seconds = 0.0 if self._began is None else self._clock() - self._began
        retries = max(0, self._requests - 1)
        call = CheckCall(
            seconds, retries, prompt_tokens=self._read, completion_tokens=self._written
        )
        return Agreement(consistent, fault, call)
