"""One request to an OpenAI-compatible endpoint, and what came of it."""

import asyncio
import json
import math
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

_PROBE_S = 5.0
_CONNECT_S = 5.0
# Below the 5 s after which uvicorn, and so vLLM, closes a connection that nobody uses: a request
# must not meet the closing.
_KEEP_S = 4.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request came to.

    Attributes:
        text: what the check wrote; None for a fault.
        fault: a word to count by; None for a text.
        detail: what happened, for a person.
        status: of HTTP; 0 without an answer.
        wait: seconds that the endpoint asks to be left alone.
        prompt_tokens: read by the check.
        completion_tokens: written by the check.
    """

    text: str | None = None
    fault: str | None = None
    detail: str = ""
    status: int = 0
    wait: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def new_client(key: str) -> aiohttp.ClientSession:
    """Return a client that keeps its connections; needs a running event loop."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_S),
        headers={"authorization": f"Bearer {key}"} if key else {},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=True,  # proxies
    )


async def ask(
    client: aiohttp.ClientSession, url: str, body: dict[str, Any], most_s: float
) -> Reply:
    """Return the answer to one chat completion, or the fault; raises for nothing that is sent back.

    Args:
        client: of :func:`new_client`.
        url: base address of the endpoint, such as ``http://127.0.0.1:8000/v1``.
        body: of the request.
        most_s: seconds for all of it, however slowly it drips.
    """
    address = f"{url}/chat/completions"
    try:
        async with (
            asyncio.timeout(most_s),
            client.post(address, json=body, allow_redirects=False) as got,
        ):
            content = await got.read()
    except aiohttp.ClientConnectionError as error:  # first: some are a TimeoutError as well
        return Reply(fault="connection", detail=f"{type(error).__name__}: {error}")
    except TimeoutError:
        return Reply(fault="timeout", detail=f"no answer within {most_s:.3g} s")
    except aiohttp.ClientPayloadError as error:
        return Reply(fault="connection", detail=f"broke off: {error}")
    except aiohttp.ClientError as error:
        return Reply(fault="nonsense", detail=f"{type(error).__name__}: {error}")
    if got.status == 200:
        return _read(content)
    return Reply(
        fault=_fault(got.status),
        detail=f"HTTP {got.status}: {_start(content)}",
        status=got.status,
        wait=_wait(got.headers.get("retry-after", "")),
    )


async def alive(client: aiohttp.ClientSession, url: str) -> bool:
    """Return whether somebody answers at ``url``; who refuses is there as well."""
    try:
        async with asyncio.timeout(_PROBE_S), client.get(f"{url}/models") as got:
            return got.status < 500
    except (TimeoutError, aiohttp.ClientError):
        return False


def _read(content: bytes) -> Reply:
    try:
        completion = json.loads(content)
        text = completion["choices"][0]["message"]["content"]
        usage = completion.get("usage") or {}
        read, written = (int(usage.get(f"{name}_tokens") or 0) for name in ("prompt", "completion"))
    # A deep nesting is a RecursionError, a list in the wrong place an AttributeError.
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        detail = f"{type(error).__name__}: {error} in {_start(content)}"
        return Reply(fault="nonsense", detail=detail, status=200)
    if text is not None and not isinstance(text, str):
        return Reply(fault="nonsense", detail=f"content is {type(text).__name__}", status=200)
    text = (text or "").encode("utf-8", "replace").decode()  # JSON can hold half a character
    return Reply(text, status=200, prompt_tokens=read, completion_tokens=written)


def _start(content: bytes) -> str:
    return content[:300].decode("utf-8", "replace")


def _fault(status: int) -> str:
    if status == 429:
        return "rate_limit"
    return "server" if status >= 500 or status in (408, 409, 425) else "refused"


def _wait(header: str) -> float:
    """Return the seconds of a Retry-After header, which may hold a date; 0 for none."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError, IndexError, OverflowError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
