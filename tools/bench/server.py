"""A server for consistency checks that is right, and takes the same time for every answer.

``python -m r1reward.tools.bench.server 0.2`` prints its address and serves until it is killed.
"""

import asyncio
import json
import re
import socket
import sys

import uvicorn
from fastapi import FastAPI, Request, Response

_FENCED = re.compile(r"^<reasoning (\w+)>$(.*)^</reasoning \1>$", re.MULTILINE | re.DOTALL)


def answer(prompt: str) -> str:
    """Return the right answer to a prompt, of either preset, about a case of the benchmark."""
    if fenced := _FENCED.search(prompt):
        return json.dumps({"conclusion": _better(fenced[2])})
    reasoning, _, claim = prompt.rpartition("######### Model's Answer#########")
    return "1" if _better(reasoning) == _better(claim) else "0"


def _better(text: str) -> str:
    """Return the response that the last sentence of this kind prefers: ``1`` or ``2``."""
    found: list[str] = re.findall(r"[Rr]esponse ([12]) is better", text)
    return found[-1]


def app(seconds: float) -> FastAPI:
    """Return an endpoint whose answers take ``seconds``, however many it works on."""
    server = FastAPI()

    @server.get("/v1/models")
    async def models() -> dict[str, object]:
        return {"object": "list", "data": [{"id": "check", "object": "model"}]}

    @server.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        content = (await request.json())["messages"][-1]["content"]
        if not isinstance(content, str):
            content = "".join(part["text"] for part in content)
        await asyncio.sleep(seconds)
        message = {"role": "assistant", "content": answer(content)}
        completion = {
            **{"id": "1", "object": "chat.completion", "created": 0, "model": "check"},
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
        }
        return Response(json.dumps(completion), media_type="application/json")

    return server


def serve(seconds: float) -> None:
    """Serve on a free port of this machine."""
    # With the protocol named: asyncio disables Nagle's delay for such sockets alone.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", flush=True)
    config = uvicorn.Config(app(seconds), log_level="critical", lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve(float(sys.argv[1]))
