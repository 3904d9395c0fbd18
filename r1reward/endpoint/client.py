"""A client of one model behind one or several OpenAI-compatible addresses."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from r1reward.core.errors import ConfigError
from r1reward.endpoint.address import read_addresses, read_key
from r1reward.endpoint.advice import Advice
from r1reward.endpoint.cache import AnswerCache
from r1reward.endpoint.fault import Trouble
from r1reward.endpoint.health import Health
from r1reward.endpoint.pool import Endpoints
from r1reward.endpoint.reply import Completion
from r1reward.endpoint.request import Transport
from r1reward.endpoint.result import QuestionResult
from r1reward.endpoint.retry import Limits, Question, Session

T = TypeVar("T")


class Client:
    """Asks questions, many at a time; one instance serves the calls of an event loop at a time.

    Connections are made by the first question, on the event loop that asks it. Faults that pass
    (:data:`r1reward.endpoint.fault.PASSING`) are waited for until ``deadline_s``, answers that
    cannot be used are asked for again ``retries`` times, and other faults are final at once.

    Attributes:
        addresses: that are asked.
        trouble: requests that were repeated so far, and why.
    """

    def __init__(
        self,
        group: str,
        *,
        model: str | None,
        base_url: str | Sequence[str] | None,
        key_env: str,
        tokens_field: str,
        concurrency: int,
        request_s: float,
        deadline_s: float,
        patience_s: float,
        retries: int,
        input_price: float,
        output_price: float,
        cache: str | Path | None,
    ) -> None:
        """Check the settings, which the yaml files of ``group`` explain; nothing is opened yet.

        Raises:
            ConfigError: for settings that cannot work.
        """
        if not model:
            raise ConfigError(f"{group}.model: give the name that the endpoint knows the model by")
        if concurrency < 1 or retries < 0:
            raise ConfigError(
                f"{group}.concurrency={concurrency}, retries={retries}: give 1 or more, and 0 or "
                "more"
            )
        if not (0 < request_s <= deadline_s and patience_s > 0):
            raise ConfigError(
                f"{group}.request_s={request_s}, deadline_s={deadline_s}, patience_s={patience_s}: "
                "give seconds above 0, and a request that ends before the deadline"
            )
        self.addresses = read_addresses(base_url, group)
        self.trouble = Trouble()
        self._key = read_key(key_env, group, needed=base_url is None)
        self._model, self._tokens_field, self._concurrency = model, tokens_field, concurrency
        self._limits = Limits(request_s, deadline_s, patience_s, retries)
        self._advice = Advice(group, model, key_env, has_key=bool(self._key))
        self._prices = input_price, output_price
        self._cache = AnswerCache(cache) if cache else None
        self._session: Session | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def cache_warnings(self) -> int:
        """How often the cache could not be used."""
        return self._cache.warnings if self._cache else 0

    def body(
        self, messages: Sequence[dict[str, Any]], max_tokens: int, **sampling: float
    ) -> dict[str, Any]:
        """Return the body of a request, with the name that the endpoint has for the token limit."""
        sizes = {self._tokens_field: max_tokens}
        return {"model": self._model, "messages": list(messages), **sampling, **sizes}

    async def ask(
        self,
        body: dict[str, Any],
        read: Callable[[Completion], T | None],
        forms: Sequence[dict[str, Any]] = ({},),
        key: str | None = None,
    ) -> QuestionResult[T]:
        """Return what became of one question; whatever goes wrong is its fault, never an exception.

        Args:
            body: of the request.
            read: returns the value of a completion, or None for one that cannot be used.
            forms: fields that make a server hold the answer to a form, the best ones first; the
                last one is empty, for servers that know none.
            key: of the answer in the cache; None leaves the cache alone.
        """
        session = self._connected()
        if self._cache and key and (text := await self._cache.get(key)) is not None:
            known = Completion(text)
            if (value := read(known)) is not None:
                return QuestionResult(value, completion=known, cached=True)
        result = await Question(session, body, read, forms).ask()
        if self._cache and key and result.completion is not None:
            self._cache.put(key, result.completion.conclusion)
        return result

    async def problem(self) -> str:
        """Return why no address can be asked, with what to change; empty when one can be."""
        transport, faults = self._connected().transport, []
        for url, fault in zip(
            self.addresses,
            await asyncio.gather(*map(transport.probe, self.addresses)),
            strict=True,
        ):
            if fault is None:
                return ""
            faults.append(self._advice.after(f"{url}: {fault.detail}", fault, url))
        return "\n".join(faults)

    async def close(self) -> None:
        """Close connections and cache, for good."""
        if self._session and self._loop is asyncio.get_running_loop():
            await self._session.endpoints.close()
            await self._session.transport.close()
        if self._cache:
            self._cache.close()

    def _connected(self) -> Session:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            # What an earlier event loop used has ended with it.
            transport, limits = Transport(self._key), self._limits
            health = Health(limits.patience_s, limits.deadline_s)
            endpoints = Endpoints(self.addresses, self._concurrency, health, transport.alive)
            self._loop, self._session = (
                loop,
                Session(transport, endpoints, limits, self._advice, self.trouble, self._prices),
            )
        return self._session
