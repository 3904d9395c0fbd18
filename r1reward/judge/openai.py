"""Judge behind any OpenAI-compatible endpoint, asked as fast as it can answer."""

import asyncio
import base64
import io
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from r1reward.core.media import ImageError, open_image
from r1reward.core.pair import Pair
from r1reward.endpoint.throttle import Throttle
from r1reward.judge.base import Answer, Fault, Judge, JudgeError, Reply
from r1reward.judge.protocol import Protocol

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0


class OpenAIJudge(Judge):
    """Images travel within the request; the key comes from the environment and stays secret."""

    def __init__(
        self,
        protocol: Protocol,
        media_root: Path | str,
        model: str | None,
        base_url: str | None,
        key_env: str,
        tokens_field: str,
        concurrency: int,
        request_s: float,
        deadline_s: float,
        input_price: float,
        output_price: float,
    ) -> None:
        super().__init__(protocol, media_root)
        if not model:
            raise JudgeError("judge.model: give the name that the endpoint knows the model by")
        self._key = os.environ.get(key_env, "")
        if not self._key and base_url is None:
            raise JudgeError(f"no key in the environment: set {key_env}, or judge.base_url")
        if concurrency < 1 or not 0 < request_s <= deadline_s:
            raise JudgeError(
                f"judge.concurrency={concurrency}, request_s={request_s}, deadline_s={deadline_s}: "
                "give 1 or more, and a request that ends before the deadline"
            )
        if base_url and urlsplit(base_url).password:
            raise JudgeError(
                "judge.base_url holds a password, which the run's files would show: put the key "
                f"into the environment, as {key_env}"
            )
        self.identity = f"{model}@{base_url or 'api.openai.com'}"
        self.window = 2 * concurrency
        self._model, self._base_url, self._tokens_field = model, base_url, tokens_field
        self._request_s, self._deadline_s = request_s, deadline_s
        self._prices = input_price, output_price
        self._throttle = Throttle(concurrency)

    async def judge(self, pair: Pair, votes: Sequence[int]) -> AsyncIterator[tuple[int, Reply]]:
        """Yield every vote as it arrives: each is a request of its own."""
        try:
            messages = await asyncio.to_thread(self._chat, pair)
        except ImageError as error:
            for vote in votes:
                yield vote, Fault("media", str(error))
            return
        tasks = [asyncio.create_task(self._vote(messages, vote)) for vote in votes]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        finally:
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            await self._client.close()

    async def _vote(self, messages: list[dict[str, Any]], vote: int) -> tuple[int, Reply]:
        """Ask until there is an answer, the endpoint refuses, or the time is over."""
        ends, delay, fault = time.monotonic() + self._deadline_s, _FIRST_DELAY, None
        while True:
            left = ends - time.monotonic()
            reply, wait = await self._request(messages, left)
            if isinstance(reply, Answer) or wait is None:
                return vote, reply
            if fault is None or left >= self._request_s or reply.kind != "timeout":
                fault = reply  # a last try cut short by the deadline says nothing new
            pause = max(wait, random.uniform(0, delay))  # noqa: S311 - jitter
            delay = min(2 * delay, _LONGEST_DELAY)
            if time.monotonic() + pause >= ends:
                detail = f"gave up after {self._deadline_s:g} s; last: {fault.detail}"
                return vote, Fault(fault.kind, detail)
            await asyncio.sleep(pause)

    async def _request(
        self, messages: list[dict[str, Any]], left: float
    ) -> tuple[Reply, float | None]:
        """Return the reply, and for a fault the least time to wait; None is a final reply."""
        import openai

        asked = self.protocol
        options: dict[str, Any] = {self._tokens_field: asked.max_tokens}
        if asked.repetition_penalty != 1:  # vLLM's and SGLang's; OpenAI's own knows none
            options["repetition_penalty"] = asked.repetition_penalty
        async with self._throttle.slot() as slot:
            try:
                got = await asyncio.wait_for(
                    self._client.chat.completions.create(
                        model=self._model,
                        messages=messages,
                        temperature=asked.temperature,
                        top_p=asked.top_p,
                        extra_body=options,
                    ),
                    max(0.01, min(self._request_s, left)),
                )
                return self._answer(got), None
            except (TimeoutError, openai.APITimeoutError):
                slot.overloaded()
                return Fault("timeout", f"no answer within {self._request_s:g} s"), 0.0
            except openai.RateLimitError as error:
                slot.overloaded()
                return self._fault("rate_limit", error), _retry_after(error)
            except openai.APIStatusError as error:
                if error.status_code < 500 and error.status_code not in (408, 409):
                    return self._fault("refused", error), None
                slot.overloaded()
                return self._fault("server", error), _retry_after(error)
            except openai.APIConnectionError as error:
                slot.overloaded()
                return self._fault("connection", error), 0.0
            except (openai.APIError, ValueError, TypeError, AttributeError, LookupError) as error:
                return self._fault("nonsense", error), 0.0

    def _answer(self, got: Any) -> Answer:
        text = got.choices[0].message.content
        if text is not None and not isinstance(text, str):
            raise TypeError(f"content is {type(text).__name__}")
        read = int(getattr(got.usage, "prompt_tokens", 0) or 0)
        written = int(getattr(got.usage, "completion_tokens", 0) or 0)
        cost = (read * self._prices[0] + written * self._prices[1]) / 1e6
        return Answer(text or "", read, written, cost)

    def _fault(self, kind: str, error: Exception) -> Fault:
        text = f"{type(error).__name__}: {error}"
        return Fault(kind, (text.replace(self._key, "***") if self._key else text)[:500])

    def _chat(self, pair: Pair) -> list[dict[str, Any]]:
        [turn] = self.messages(pair)
        content: list[dict[str, Any]] = []
        for part in turn["content"]:
            if part["type"] == "text":
                content.append({"type": "text", "text": part["text"]})
                continue
            shown = part[part["type"]]
            for uri in shown if isinstance(shown, list) else [shown]:  # frames of a video
                address = {"url": self._data_uri(uri)}
                content.append({"type": "image_url", "image_url": address})
        return [{"role": "user", "content": content}]

    def _data_uri(self, uri: str) -> str:
        open_image(uri, self.media_root)  # the endpoint would only say that it cannot
        if uri.startswith("data:"):
            content = base64.b64decode("".join(uri.partition("base64,")[2].split()))
        else:
            content = Path(uri).read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            kind = image.get_format_mimetype()
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"

    @cached_property
    def _client(self) -> Any:
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            api_key=self._key or "none", base_url=self._base_url, max_retries=0, timeout=None
        )


def _retry_after(error: Any) -> float:
    try:
        return float(error.response.headers.get("retry-after", 0))
    except ValueError:  # a date
        return 1.0
