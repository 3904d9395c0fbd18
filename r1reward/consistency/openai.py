"""Check by a model behind any OpenAI-compatible endpoint, with many concurrent requests."""

import asyncio
import hashlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from r1reward.consistency._cache import AnswerCache
from r1reward.consistency._inquiry import Inquiry, Limits
from r1reward.consistency.base import Agreement, Case, CheckCall
from r1reward.consistency.prompts import PRESETS, VIEWS, seen
from r1reward.core.errors import ConfigError
from r1reward.endpoint import request as _chat
from r1reward.endpoint.pool import Endpoints

_log = logging.getLogger(__name__)
_SAY_EVERY = 60.0  # seconds between lines about failures of one kind
_OPENAI = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class _Session:
    """What belongs to one event loop."""

    loop: asyncio.AbstractEventLoop
    client: aiohttp.ClientSession
    endpoints: Endpoints


class OpenAICheck:
    """Asks a model what the reasoning concludes; one instance serves the calls of an event loop.

    Connections are made by the first call, on the event loop that makes it. What an endpoint
    does wrong is waited for and asked again until ``deadline_s``; an answer that cannot be used
    is asked again ``retries`` times. Then the agreement is a failure, one of

    * ``timeout``, ``rate_limit``, ``server`` (HTTP 5xx), ``connection``: what happened last before
      the deadline;
    * ``refused``: another HTTP status; asking again would not help;
    * ``nonsense``: no chat completion; ``unparsed``: one without exactly one verdict;
    * ``down``: nothing was asked, as no endpoint has answered for longer than ``deadline_s``.
    """

    def __init__(
        self,
        model: str | None,
        base_url: str | Sequence[str] | None,
        key_env: str,
        prompt: str,
        view: str | None,
        concurrency: int,
        request_s: float,
        deadline_s: float,
        retries: int,
        cache: str | Path | None,
    ) -> None:
        """Check the settings, which conf/consistency/openai.yaml explains; nothing is opened yet.

        Raises:
            ConfigError: for what cannot work.
        """
        if not model:
            raise ConfigError(
                "consistency.model: give the name that the endpoint knows the model by"
            )
        if prompt not in PRESETS:
            raise ConfigError(f"consistency.prompt={prompt}: give one of {', '.join(PRESETS)}")
        self._preset = PRESETS[prompt]
        self._view = self._preset.view if view is None else view
        if self._view not in VIEWS:
            raise ConfigError(f"consistency.view={view}: give one of {', '.join(VIEWS)}, or null")
        if concurrency < 1 or retries < 0 or not 0 < request_s <= deadline_s:
            raise ConfigError(
                f"consistency.concurrency={concurrency}, retries={retries}, request_s={request_s}, "
                f"deadline_s={deadline_s}: give 1 or more, 0 or more, and a request that ends "
                "before the deadline"
            )
        self._urls = _addresses(base_url)
        self._key = _key(key_env, needed=base_url is None)
        self._model, self._concurrency = model, concurrency
        self._limits = Limits(request_s, deadline_s, retries)
        self._cache = AnswerCache(cache) if cache else None
        self._session: _Session | None = None
        self._failures = Counter[str]()
        self._said: dict[str, float] = {}

    @property
    def cache_warnings(self) -> int:
        """How often the cache could not be used."""
        return self._cache.warnings if self._cache else 0

    async def check(self, cases: Sequence[Case]) -> list[Agreement]:
        """Check all ``cases`` at once; what goes wrong is a failure, never an exception."""
        session = self._connected()
        return list(await asyncio.gather(*(self._check(session, case) for case in cases)))

    async def reachable(self) -> bool:
        """Return whether somebody answers at one address at least."""
        session = self._connected()
        return any(await asyncio.gather(*(_chat.alive(session.client, url) for url in self._urls)))

    async def close(self) -> None:
        """Close connections and cache, for good."""
        if self._session and self._session.loop is asyncio.get_running_loop():
            await self._session.endpoints.close()
            await self._session.client.close()
        if self._cache:
            self._cache.close()

    async def _check(self, session: _Session, case: Case) -> Agreement:
        case = seen(case, self._view)
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": self._preset.write(case)}],
            "temperature": self._preset.temperature,
            "max_tokens": self._preset.max_tokens,
        }
        key = hashlib.sha256(json.dumps([self._preset.name, body]).encode()).hexdigest()
        if self._cache and (text := await self._cache.get(key)) is not None:
            known = self._preset.read(text, case)
            if known is not None:
                return Agreement(known, call=CheckCall(0.0, cached=True))
        inquiry = Inquiry(session.client, session.endpoints, self._preset, self._limits)
        agreement = await inquiry.ask(body, case)
        if agreement.failure is not None:
            self._say(agreement.failure, inquiry.detail)
        elif self._cache:
            self._cache.put(key, inquiry.text)
        return agreement

    def _connected(self) -> _Session:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.loop is not loop:
            # What an earlier event loop used has ended with it.
            client = _chat.new_client(self._key)
            endpoints = Endpoints(
                self._urls,
                self._concurrency,
                self._limits.deadline_s,
                lambda url: _chat.alive(client, url),
            )
            self._session = _Session(loop, client, endpoints)
        return self._session

    def _say(self, failure: str, detail: str) -> None:
        """Log a failure now and then: each is counted by whoever asked."""
        self._failures[failure] += 1
        count, now = self._failures[failure], time.monotonic()
        if now - self._said.get(failure, -_SAY_EVERY) >= _SAY_EVERY:
            self._said[failure] = now
            hidden = detail.replace(self._key, "***") if self._key else detail
            _log.warning("check failure %s, %d so far: %s", failure, count, hidden)


def _addresses(base_url: str | Sequence[str] | None) -> list[str]:
    if base_url is None:
        return [_OPENAI]
    given = [base_url] if isinstance(base_url, str) else list(base_url)
    if not given or len(set(given)) < len(given):
        raise ConfigError("consistency.base_url: give one address or several different ones")
    for url in given:
        if "@" in url or "?" in url:  # not repeated: it may hold a secret
            raise ConfigError(
                "consistency.base_url: a password or query in an address would be in the "
                "run's files; put the key into the environment, as consistency.key_env says"
            )
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is no number
            usable = False
        if not usable:
            raise ConfigError(f"consistency.base_url={url}: give http://host:port/v1, or https")
    return [url.rstrip("/") for url in given]


def _key(name: str, *, needed: bool) -> str:
    key = os.environ.get(name, "").strip()
    if needed and not key:
        raise ConfigError(f"no key in the environment: set {name}, or consistency.base_url")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{name} in the environment is no key: it holds signs that none has")
    return key
