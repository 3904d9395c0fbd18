"""Judge behind any OpenAI-compatible endpoint, asked as fast as it can answer."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from r1reward.core.media import ImageError, open_image
from r1reward.core.pair import Pair
from r1reward.endpoint.client import Client
from r1reward.endpoint.fault import Fault
from r1reward.endpoint.reply import Completion
from r1reward.judge.base import Answer, Judge, Reply
from r1reward.judge.protocol import Protocol


class OpenAIJudge(Judge):
    """Images travel within the request; the key comes from the environment and stays secret."""

    def __init__(
        self,
        protocol: Protocol,
        media_root: Path | str,
        model: str | None,
        base_url: str | Sequence[str] | None,
        concurrency: int,
        **endpoint: Any,
    ) -> None:
        """Check the settings, which conf/judge/openai.yaml explains; nothing is opened yet.

        Args:
            protocol: its sampling is sent along.
            media_root: folder that relative media paths start from.
            model: the name that the endpoint knows the model by.
            base_url: an address, several ones of the same model, or None for OpenAI's.
            concurrency: requests in flight at each address.
            endpoint: the rest, as for :class:`r1reward.endpoint.client.Client`.

        Raises:
            ConfigError: for what cannot work.
        """
        super().__init__(protocol, media_root)
        # Answers are kept by the journal of whoever asks, so the client caches none.
        self._client = Client(
            "judge",
            model=model,
            base_url=base_url,
            concurrency=concurrency,
            cache=None,
            **endpoint,
        )
        self.trouble = self._client.trouble
        given = [base_url or "api.openai.com"] if isinstance(base_url, str | None) else base_url
        self.identity = f"{model}@{','.join(sorted(given))}"
        self.window = 2 * concurrency * len(given)

    async def judge(self, pair: Pair, votes: Sequence[int]) -> AsyncIterator[tuple[int, Reply]]:
        """Yield every vote as it arrives: each is a request of its own."""
        try:
            body = await asyncio.to_thread(self._body, pair)
        except ImageError as error:
            for vote in votes:
                yield vote, Fault("media", str(error))
            return
        tasks = [asyncio.create_task(self._vote(body, vote)) for vote in votes]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        finally:
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _vote(self, body: dict[str, Any], vote: int) -> tuple[int, Reply]:
        result = await self._client.ask(body, _whole)
        if result.fault is not None:
            return vote, result.fault
        assert result.value is not None
        completion = result.value
        return vote, Answer(
            completion.text,
            result.prompt_tokens,
            result.completion_tokens,
            result.cost,
            completion.finish_reason,
        )

    def _body(self, pair: Pair) -> dict[str, Any]:
        asked = self.protocol
        sampling = {"temperature": asked.temperature, "top_p": asked.top_p}
        if asked.repetition_penalty != 1:  # vLLM's and SGLang's; OpenAI's own knows none
            sampling["repetition_penalty"] = asked.repetition_penalty
        return self._client.body(self._chat(pair), asked.max_tokens, **sampling)

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


def _whole(completion: Completion) -> Completion:
    """Return the completion: any text is an answer, and its reader decides what it says."""
    return completion
