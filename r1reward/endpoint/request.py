"""Request to an OpenAI-compatible endpoint, and its outcome."""

import asyncio
import math
import os
import time
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from r1reward.endpoint.address import without_secrets
from r1reward.endpoint.fault import FaultKind, RequestFault
from r1reward.endpoint.reply import Completion, read_completion, read_error

_PROBE_S = 5.0
_CONNECT_S = 5.0
# Below the 5 s after which uvicorn, and so vLLM, closes a connection that nobody uses: a request
# must not meet the closing.
_KEEP_S = 4.0
_SHOWN = 300  # characters of a fault
_LOST_BODY = (301, 302, 303)  # redirects after which a client asks again without the question


class Transport:
    """Sends requests with one key, over connections that are kept; needs a running event loop.

    The key is in the headers alone, and no fault shows it.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_S),
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,  # proxies
        )

    async def complete(
        self, url: str, body: dict[str, Any], most_s: float
    ) -> Completion | RequestFault:
        """Return one chat completion, or the fault; raise for nothing that is sent back.

        Args:
            url: base address of the endpoint, such as ``http://127.0.0.1:8000/v1``.
            body: of the request.
            most_s: seconds for all of it, however slowly it drips.
        """
        reply = await self._ask("POST", f"{url}/chat/completions", most_s, json=body)
        if isinstance(reply, RequestFault):
            return reply
        status, content, wait = reply
        read = read_completion(content) if status == 200 else read_error(status, content, wait)
        return self._hidden(read) if isinstance(read, RequestFault) else read

    async def probe(self, url: str) -> RequestFault | None:
        """Ask for the list of models; return what speaks against sending questions to ``url``.

        An endpoint without such a list (404) is not at fault.
        """
        reply = await self._ask("GET", f"{url}/models", _PROBE_S)
        if isinstance(reply, RequestFault):
            return reply
        status, content, wait = reply
        if status in (401, 403) or status >= 500:
            return self._hidden(read_error(status, content, wait))
        if status == 404 and not url.endswith("/v1"):
            below = await self._ask("GET", f"{url}/v1/models", _PROBE_S)
            if not isinstance(below, RequestFault) and below[0] == 200:
                return RequestFault("refused", f"HTTP 404, but {url}/v1 answers", 404)
        return None

    async def alive(self, url: str) -> bool:
        """Return whether somebody answers at ``url``; who refuses is there as well."""
        fault = await self.probe(url)
        return fault is None or fault.kind == "refused"

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _ask(
        self, method: str, url: str, most_s: float, **options: Any
    ) -> tuple[int, bytes, float] | RequestFault:
        """Return status, content and Retry-After in seconds of the reply."""
        try:
            async with (
                asyncio.timeout(most_s),
                self._session.request(method, url, max_redirects=3, **options) as got,
            ):
                content = await got.read()
        except aiohttp.ClientConnectionError as error:  # first: some are a TimeoutError as well
            return self._fault("connection", error)
        except TimeoutError:
            return RequestFault("timeout", f"no answer within {most_s:.3g} s")
        except aiohttp.ClientPayloadError as error:
            return self._fault("connection", error)
        except (aiohttp.ClientError, ValueError) as error:  # ValueError: a proxy that is none
            return self._fault("nonsense", error)
        moved = [one.status for one in got.history if one.status in _LOST_BODY]
        if moved:
            detail = f"HTTP {moved[0]}: the address has moved; give the one that it moved to"
            return RequestFault("refused", detail, status=moved[0])
        return got.status, content, _seconds(got.headers.get("retry-after", ""))

    def _fault(self, kind: FaultKind, error: Exception) -> RequestFault:
        words = f"{type(error).__name__}: {error}"
        secure = isinstance(error, aiohttp.ClientSSLError)  # it has no number that says anything
        if isinstance(error, aiohttp.ClientConnectorError) and not secure:
            code = error.errno or 0
            why = os.strerror(code) if code > 0 else error.os_error.strerror
            words = f"cannot connect to {error.host}:{error.port} ({why})"
        return self._hidden(RequestFault(kind, words))

    def _hidden(self, fault: RequestFault) -> RequestFault:
        # Hidden before it is cut: half a key is a secret as well.
        return replace(fault, detail=without_secrets(fault.detail, self._key)[:_SHOWN])


def _seconds(header: str) -> float:
    """Return the seconds of a Retry-After header, which may hold a date; 0 for none."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError, IndexError, OverflowError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
