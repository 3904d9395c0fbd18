"""Check by a model behind any OpenAI-compatible endpoint, with many concurrent requests."""

import asyncio
import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1reward.consistency.base import Agreement, Case, CheckCall
from r1reward.consistency.prompts import PRESETS, VIEWS, seen
from r1reward.core.errors import ConfigError
from r1reward.endpoint.client import Client
from r1reward.endpoint.fault import Fault
from r1reward.endpoint.result import QuestionResult

_log = logging.getLogger(__name__)
_SAY_EVERY = 60.0  # seconds between lines about faults of one kind


class OpenAICheck:
    """Asks a model what the reasoning concludes; one instance serves the calls of an event loop.

    An agreement that the endpoint gives no word on is a failure, one of
    :data:`r1reward.endpoint.fault.FaultKind`; the last fault before the client gave up.
    """

    def __init__(
        self,
        base_url: str | Sequence[str] | None,
        prompt: str,
        view: str | None,
        cache: str | Path | None,
        **endpoint: Any,
    ) -> None:
        """Check the settings, which conf/consistency/openai.yaml explains; nothing is opened yet.

        Args:
            base_url: an address, several ones of the same model, or None for OpenAI's.
            prompt: name of a preset.
            view: part of the reasoning that is shown; None for the preset's own.
            cache: file that keeps the answers; None for none.
            endpoint: the rest, as for :class:`r1reward.endpoint.client.Client`.

        Raises:
            ConfigError: for what cannot work.
        """
        if prompt not in PRESETS:
            raise ConfigError(f"consistency.prompt={prompt}: give one of {', '.join(PRESETS)}")
        self._preset = PRESETS[prompt]
        self._view = self._preset.view if view is None else view
        if self._view not in VIEWS:
            raise ConfigError(f"consistency.view={view}: give one of {', '.join(VIEWS)}, or null")
        self._client = Client("consistency", base_url=base_url, cache=cache, **endpoint)
        self._failures = Counter[str]()
        self._said: dict[str, float] = {}

    @property
    def cache_warnings(self) -> int:
        """How often the cache could not be used."""
        return self._client.cache_warnings

    async def check(self, cases: Sequence[Case]) -> list[Agreement]:
        """Check all ``cases`` at once; what goes wrong is a failure, never an exception."""
        return list(await asyncio.gather(*map(self._check, cases)))

    async def problem(self) -> str:
        """Return why no address can be asked, with what to change; empty when one can be."""
        return await self._client.problem()

    async def close(self) -> None:
        """Close connections and cache, for good."""
        await self._client.close()

    async def _check(self, case: Case) -> Agreement:
        case, preset = seen(case, self._view), self._preset
        messages = [{"role": "user", "content": preset.write(case)}]
        body = self._client.body(messages, preset.max_tokens, temperature=preset.temperature)
        key = hashlib.sha256(json.dumps([preset.name, body]).encode()).hexdigest()
        result = await self._client.ask(
            body, lambda completion: preset.read(completion.conclusion, case), preset.forms, key
        )
        if result.fault is not None:
            self._say(result.fault)
            return Agreement(None, result.fault.kind, _call(result))
        return Agreement(result.value, call=_call(result))

    def _say(self, fault: Fault) -> None:
        """Log a failure now and then: each is counted by whoever asked."""
        self._failures[fault.kind] += 1
        count, now = self._failures[fault.kind], time.monotonic()
        if now - self._said.get(fault.kind, -_SAY_EVERY) >= _SAY_EVERY:
            self._said[fault.kind] = now
            _log.warning("check failure %s, %d so far: %s", fault.kind, count, fault.detail)


def _call(result: QuestionResult[bool]) -> CheckCall:
    return CheckCall(
        result.seconds,
        result.retries,
        result.cached,
        result.prompt_tokens,
        result.completion_tokens,
        result.cost,
    )
