"""A judge on loopback that does what a test tells it: right, slow, broken or gone.

In a test, its thread serves other processes as well::

    with ChatServer() as server:
        judge = ...  # base_url=server.url
        server.set("errors", times=3)   # the next three requests; then it is right again
        server.die(); server.start()    # connections break; it comes back at the same address
        server.count, server.most       # requests so far, and most of them at a time
"""

import asyncio
import json
import random
import re
import socket
import threading
import time
from typing import Any, Self

import uvicorn
from fastapi import FastAPI, Request, Response

MODES = {
    "right": "answers at once: whatever the last 'Response N is better' of the reasoning says",
    "slow": "right, after `seconds` (0.2)",
    "jittery": "right, after 0 to `seconds` (0.4), drawn",
    "rate_limit": "429, with `retry_after` (0.2) unless that is None",
    "crowded": "right after `seconds`, but 429 beyond `capacity` (4) requests at a time",
    "errors": "500",
    "hang": "never answers",
    "garbage": "a chat completion that holds no verdict",
    "nonsense": "200 with a page of HTML",
    "truncated": "200 with half of a JSON object",
    "drop": "breaks the connection in the middle of an answer",
    "openai": "right, but 400 to a field that OpenAI does not know, structured_outputs",
    "plain": "right, but 400 to that one and to response_format",
    "chatty": "in words unless there is a response_format; structured_outputs is ignored",
    "refuse": "`status` (401), in words that repeat the key",
    "say": "a chat completion of `text`",
    "raw": "`text` as it is, with `status` (401)",
    "redirect": "`status` (401) and `location`",
}
SETTINGS: dict[str, Any] = {
    "seconds": None,
    "retry_after": 0.2,
    "capacity": 4,
    "status": 401,
    "text": "",
    "location": "",
}


ANSWER = "<think>ok</think><answer>2</answer>"


class ChatServer:
    """A server in a thread; everything may be read and set from outside.

    Attributes:
        bodies: of all chat completions asked for.
        headers: the same requests' headers.
        times: when each arrived, on the monotonic clock.
        peers: the connections that they came by.
        probes: how often the list of models was asked for.
        most: requests at a time, at most.
        models_status: of the list of models.
    """

    def __init__(self, mode: str = "right", times: int | None = None, **settings: Any) -> None:
        self.port = 0
        self.reset()
        self.set(mode, times, **settings)

    def set(self, mode: str, times: int | None = None, **settings: Any) -> None:
        """Change the mode, for so many requests; None is for good."""
        assert mode in MODES, mode
        assert set(settings) <= set(SETTINGS), settings
        self.settings = SETTINGS | settings
        self.left, self.mode = times, mode

    def reset(self) -> None:
        """Forget what was asked so far."""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.peers: set[Any] = set()
        self.probes = 0
        self.running = self.most = 0
        self.models_status = 200
        self._draw = random.Random(0)

    @property
    def count(self) -> int:
        return len(self.bodies)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> Self:
        """Serve, at the same address as before if there was one."""
        # The protocol said out loud: asyncio turns Nagle's delay off for such sockets alone.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(self._app(), log_level="critical", lifespan="off")
        self._server, self.running = uvicorn.Server(config), 0
        serve = self._serve(listening)
        self._thread = threading.Thread(target=asyncio.run, args=(serve,), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def die(self) -> None:
        """Break all connections and be gone; nothing that was asked is answered."""
        server = self._server

        def abort() -> None:
            for listening in server.servers:
                listening.close()
            for connection in list(server.server_state.connections):
                connection.transport.abort()

        server.force_exit = server.should_exit = True
        self._loop.call_soon_threadsafe(abort)
        self._thread.join()

    stop = die

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.die()

    async def _serve(self, listening: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve([listening])

    def _app(self) -> FastAPI:
        app = FastAPI()
        app.get("/v1/models")(self._models)
        app.post("/v1/chat/completions")(self._complete)
        return app

    async def _models(self) -> Response:
        self.probes += 1
        content = json.dumps({"object": "list", "data": [{"id": "judge", "object": "model"}]})
        return Response(content if self.models_status == 200 else "", self.models_status)

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.times.append(time.monotonic())
        self.peers.add(request.client)
        mode = self._next_mode()
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self._answer(mode, request, body)
        finally:
            self.running -= 1

    def _next_mode(self) -> str:
        if self.left is None:
            return self.mode
        if self.left == 0:
            return "right"
        self.left -= 1
        return self.mode

    async def _answer(self, mode: str, request: Request, body: dict[str, Any]) -> Response:
        given = self.settings
        if mode == "hang":
            await asyncio.sleep(3600)
        if mode == "rate_limit" or (mode == "crowded" and self.running > given["capacity"]):
            wait = given["retry_after"]
            return _error(429, "too many", {} if wait is None else {"retry-after": str(wait)})
        if mode == "errors":
            return _error(500, "something broke")
        if mode == "nonsense":
            return Response("<html><h1>It works!</h1></html>", media_type="text/html")
        unknown = {
            "openai": ["structured_outputs"],
            "plain": ["structured_outputs", "response_format"],
        }
        if refused := [name for name in unknown.get(mode, []) if name in body]:
            return _error(400, f"{refused[0]} is not supported")
        if mode == "chatty" and "response_format" not in body:
            mode = "garbage"
        if mode == "raw":
            return Response(given["text"], given["status"], media_type="application/json")
        if mode == "redirect":
            return Response("", given["status"], {"location": given["location"]})
        if mode == "refuse":
            return _error(given["status"], f"no: {request.headers.get('authorization')}")
        if mode in ("slow", "crowded"):
            await asyncio.sleep(0.2 if given["seconds"] is None else given["seconds"])
        if mode == "jittery":
            most = 0.4 if given["seconds"] is None else given["seconds"]
            await asyncio.sleep(self._draw.uniform(0, most))
        text = {"garbage": "Well, that depends.", "say": given["text"]}.get(mode)
        content = _completion(judged(body) if text is None else text)
        if mode == "truncated":
            return Response(content[: len(content) // 2], media_type="application/json")
        headers = {"content-length": str(len(content) + 9)} if mode == "drop" else {}
        return Response(content, media_type="application/json", headers=headers)


def judged(body: dict[str, Any]) -> str:
    """The right answer to a check's prompt, read from its description and not with our code.

    To any other prompt, such as one that shows two responses: response 2.
    """
    text = body["messages"][-1]["content"]
    if not isinstance(text, str):
        text = "".join(part["text"] for part in text if part["type"] == "text")
    fenced = re.findall(r"^<reasoning (\w+)>$(.*)^</reasoning \1>$", text, re.M | re.S)
    if fenced:
        return json.dumps({"conclusion": conclusion(fenced[0][1])})
    # The published prompt; a reasoning may hold its headings.
    before, heading, after = text.rpartition("######### Model's Answer#########")
    if not heading:
        return ANSWER
    shown = before.partition("######### Model's Response #########")[2]
    [answer] = re.findall(r"response ([12]) is better", after)
    return "1" if conclusion(shown) == answer else "0"


def conclusion(text: str) -> str:
    """The response of the last 'Response N is better', or none."""
    found = re.findall(r"Response ([12]) is better", text)
    return found[-1] if found else "none"


def _completion(text: str) -> str:
    message = {"role": "assistant", "content": text}
    return json.dumps(
        {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "judge",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
        }
    )


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    content = json.dumps({"error": {"message": message}})
    return Response(content, status, media_type="application/json", headers=headers)
