"""Retries of one question, until a usable answer, a fault or the deadline."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from r1reward.endpoint.advice import Advice
from r1reward.endpoint.fault import PASSING, UNUSABLE, Fault, FaultKind, RequestFault, Trouble
from r1reward.endpoint.pool import BusyError, DownError, Endpoint, Endpoints
from r1reward.endpoint.reply import Completion
from r1reward.endpoint.request import Transport
from r1reward.endpoint.result import QuestionResult
from r1reward.endpoint.throttle import Slot

T = TypeVar("T")

_FIRST_DELAY, _LONGEST_DELAY = 0.25, 8.0  # seconds
_LEAST_S = 0.05  # a request with less time than that can only fail
_NOT_HERE = (401, 403, 404, 405)  # refusals that speak of the endpoint rather than of the text
_PAUSED = ("timeout", "rate_limit", "server", "nonsense")
_NO_FORM = (400, 422)  # as servers refuse a form that they do not know


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop asking.

    Attributes:
        request_s: seconds of one request.
        deadline_s: seconds for one question, with all repetitions and pauses.
        patience_s: seconds after which a fault is final while no request has ever succeeded.
        retries: times that an unusable answer is asked for again.
    """

    request_s: float
    deadline_s: float
    patience_s: float
    retries: int


@dataclass(frozen=True, slots=True)
class Session:
    """What the questions of one event loop share.

    Attributes:
        transport: sends requests.
        endpoints: the addresses.
        limits: on each question.
        advice: for a model that has never answered.
        trouble: is counted up.
        prices: dollars for a million tokens read, and written.
    """

    transport: Transport
    endpoints: Endpoints
    limits: Limits
    advice: Advice
    trouble: Trouble
    prices: tuple[float, float]


class Question(Generic[T]):
    """Asks until there is a value, a final fault, or no more time; keeps count of what it took.

    Args:
        session: who answers.
        body: of the request.
        read: returns the value of a completion, or None for one that cannot be used.
        forms: fields that make a server hold the answer to a form, the best ones first; the last
            one is empty, for servers that know none.
    """

    def __init__(
        self,
        session: Session,
        body: dict[str, Any],
        read: Callable[[Completion], T | None],
        forms: Sequence[dict[str, Any]],
    ) -> None:
        self._session, self._body, self._read, self._forms = session, body, read, forms
        self._clock = asyncio.get_running_loop().time
        self._ends = self._clock() + session.limits.deadline_s
        self._began: float | None = None
        self._requests = self._prompt_tokens = self._completion_tokens = 0
        self._fault: RequestFault | None = None  # the last one that says something

    async def ask(self) -> QuestionResult[T]:
        """Return what became of the question."""
        unusable, delay = 0, _FIRST_DELAY
        while True:
            try:
                async with self._session.endpoints.place(self._ends - _LEAST_S) as (endpoint, slot):
                    with self._session.endpoints.health.request():
                        reply, form = await self._request(endpoint)
                    elsewhere = self._note(endpoint, slot, reply)
            except DownError:
                return self._down()
            except BusyError as busy:
                return self._late(busy.wait)
            if isinstance(reply, Completion):
                value = self._read(reply)
                if value is not None:
                    return replace(self._result(), value=value, completion=reply)
                # It took the form, and did not hold the answer to it: another may do better.
                endpoint.form = max(endpoint.form, min(form + 1, len(self._forms) - 1))
                reply = RequestFault("unparsed", f"no usable answer in {reply.text!r:.200}")
            self._keep(reply, endpoint.url)
            unusable += reply.kind in UNUSABLE
            final = reply.kind not in (*PASSING, *UNUSABLE) and not elsewhere
            if final or unusable > self._session.limits.retries:
                return self._failed(reply)
            if self._session.endpoints.health.pointless:
                return self._down()
            left = self._ends - self._clock()
            if reply.wait > left and not self._session.endpoints.others(endpoint):
                return self._late(reply.wait)
            if reply.kind in _PAUSED:
                await asyncio.sleep(min(random.uniform(0, delay), max(0.0, left)))  # noqa: S311
                delay = min(2 * delay, _LONGEST_DELAY)

    async def _request(self, endpoint: Endpoint) -> tuple[Completion | RequestFault, int]:
        """Ask once, or until the endpoint takes the form; return that as well."""
        for form in range(endpoint.form, len(self._forms)):
            reply = await self._send(endpoint, {**self._body, **self._forms[form]})
            if isinstance(reply, Completion) or reply.status not in _NO_FORM:
                break
        if isinstance(reply, Completion):  # otherwise the text was at fault, and not the form
            endpoint.form = max(endpoint.form, form)
        return reply, form

    async def _send(self, endpoint: Endpoint, body: dict[str, Any]) -> Completion | RequestFault:
        now = self._clock()
        self._began = now if self._began is None else self._began
        self._session.trouble.retries += self._requests > 0
        self._requests += 1
        seconds = max(_LEAST_S, min(self._session.limits.request_s, self._ends - now))
        reply = await self._session.transport.complete(endpoint.url, body, seconds)
        if isinstance(reply, Completion):
            self._prompt_tokens += reply.prompt_tokens
            self._completion_tokens += reply.completion_tokens
        return reply

    def _note(self, endpoint: Endpoint, slot: Slot, reply: Completion | RequestFault) -> bool:
        """Tell the endpoint's keeper how it went; return whether a refusal may end elsewhere."""
        endpoints = self._session.endpoints
        if isinstance(reply, Completion) or reply.kind == "filtered":
            endpoints.answered(endpoint)
        elif reply.kind == "refused":
            if reply.status in _NOT_HERE and endpoints.others(endpoint):
                endpoints.failed(endpoint, "refused")
                return True
        else:
            if reply.kind != "nonsense":
                slot.overloaded()
            endpoints.failed(endpoint, reply.kind)
            if reply.wait:
                endpoints.rest(endpoint, reply.wait)
        return False

    def _keep(self, fault: RequestFault, url: str) -> None:
        """Keep the fault, unless it is a timeout for which there was too little time."""
        if self._fault is None or fault.kind != "timeout" or self._clock() < self._ends:
            self._fault = self._session.trouble.fault = fault
            self._session.trouble.url = url

    def _down(self) -> QuestionResult[T]:
        """Give up because no address answers any more, or none ever did."""
        if self._fault is None:
            last = self._session.trouble.last
            return self._failed(Fault("down", f"no address is in service; last fault {last}"))
        limits, proven = self._session.limits, self._session.endpoints.health.proven
        why = (
            f"no answer for {limits.deadline_s:g} s"
            if proven
            else f"gave up after {limits.patience_s:g} s without one answer"
        )
        return self._failed(replace(self._fault, detail=f"{self._fault.detail}; {why}"))

    def _late(self, wait: float) -> QuestionResult[T]:
        """Give up because of the deadline, or because the endpoint asks to ``wait`` beyond it."""
        left = max(0.0, self._ends - self._clock())
        why = f"gave up after {self._session.limits.deadline_s:g} s"
        if wait:
            why = f"the endpoint asks to wait {wait:.0f} s, and {left:.0f} s are left"
        if self._fault is None:
            kind: FaultKind = "rate_limit" if wait else "timeout"
            return self._failed(Fault(kind, f"no address had room; {why}"))
        return self._failed(replace(self._fault, detail=f"{why}; last fault {self._fault.detail}"))

    def _failed(self, fault: Fault) -> QuestionResult[T]:
        """Return the result with ``fault``, and with advice while nothing has ever succeeded."""
        trouble, detail = self._session.trouble, fault.detail
        if trouble.fault is not None and not self._session.endpoints.health.proven:
            detail = self._session.advice.after(detail, trouble.fault, trouble.url)
        return replace(self._result(), fault=Fault(fault.kind, detail))

    def _result(self) -> QuestionResult[T]:
        read, written = self._session.prices
        dollars = self._prompt_tokens * read + self._completion_tokens * written
        return QuestionResult(
            seconds=0.0 if self._began is None else self._clock() - self._began,
            retries=max(0, self._requests - 1),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            cost=dollars / 1e6,
        )
