"""A client whose addresses are functions: for what is about time, not about HTTP."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from r1reward.endpoint.client import Client
from r1reward.endpoint.fault import FaultKind, RequestFault
from r1reward.endpoint.reply import Completion
from r1reward.endpoint.result import QuestionResult

# What an address does: (seconds from the start) -> (seconds that the reply takes, the reply).
Plan = Callable[[float], tuple[float, Completion | RequestFault]]

GOOD = Completion("good", prompt_tokens=100, completion_tokens=7)
GONE = RequestFault("connection", "cannot connect to host:1 (Connection refused)")
BUSY = RequestFault("rate_limit", "HTTP 429: too many", 429)
BROKEN = RequestFault("server", "HTTP 500: something broke", 500)
PAGE = RequestFault("nonsense", "a web page and no API's reply: 'It works!'", 200)
NO_KEY = RequestFault("refused", "HTTP 401: Incorrect API key provided.", 401)
NO_MODEL = RequestFault("refused", "HTTP 404: The model does not exist.", 404)


class FakeTransport:
    """Takes ``plan[url]`` for what an address does.

    Attributes:
        sent: time and address of every question.
        probes: time and address of every question for the list of models.
    """

    def __init__(self, plan: Mapping[str, Plan]) -> None:
        self.plan = plan
        self.sent: list[tuple[float, str]] = []
        self.probes: list[tuple[float, str]] = []

    async def complete(
        self, url: str, body: dict[str, Any], most_s: float
    ) -> Completion | RequestFault:
        clock = asyncio.get_running_loop().time
        self.sent.append((clock(), url))
        takes, reply = self.plan[url](clock())
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await asyncio.sleep(takes)
                return reply
        return RequestFault("timeout", f"no answer within {most_s:.3g} s")

    async def probe(self, url: str) -> RequestFault | None:
        now = asyncio.get_running_loop().time()
        self.probes.append((now, url))
        reply = self.plan[url](now)[1]
        return GONE if reply == GONE else None

    async def alive(self, url: str) -> bool:
        return await self.probe(url) is None

    async def close(self) -> None:
        pass


def always(reply: Completion | RequestFault, takes: float = 0.1) -> Plan:
    return lambda now: (takes, reply)


def until(
    end: float,
    reply: Completion | RequestFault,
    then: Completion | RequestFault = GOOD,
    takes: float = 0.1,
) -> Plan:
    """``reply`` for the first ``end`` seconds, ``then`` afterwards."""
    return lambda now: (takes, reply if now < end else then)


SETTINGS: dict[str, Any] = {
    **{"model": "m", "key_env": "NO_SUCH_KEY", "tokens_field": "max_tokens", "concurrency": 16},
    **{"request_s": 60.0, "deadline_s": 600.0, "patience_s": 20.0, "retries": 2},
    **{"input_price": 0.0, "output_price": 0.0, "cache": None},
}


def proven(plan: Plan) -> Plan:
    """The plan, after a first second in which the endpoint answers well."""
    return lambda now: (0.1, GOOD) if now < 1 else plan(now)


async def after_an_answer(client: Client, count: int = 1) -> list[QuestionResult[str]]:
    [first] = await together(client, 1)
    assert first.value == "good"
    await asyncio.sleep(1)
    return await together(client, count)


async def together(client: Client, count: int) -> list[QuestionResult[str]]:
    """The results of so many questions at a time; a good answer is its text."""
    body = client.body([], 64)
    return await asyncio.gather(
        *(client.ask(body, lambda found: found.text or None) for _ in range(count))
    )


def kinds(results: Collection[QuestionResult[str]]) -> set[FaultKind | None]:
    return {result.fault.kind if result.fault else None for result in results}
