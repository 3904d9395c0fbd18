"""A chat endpoint on loopback that answers each question as a test plans."""

import collections
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.responses import Response


class Endpoint:
    """Answers what ``plan`` says for the question in the prompt, one step a request.

    A step is a text to answer, a status, or ``garbage``. The last step stays.
    """

    def __init__(self, plan: Mapping[str, Sequence[str | int]]) -> None:
        self.plan = {question: list(steps) for question, steps in plan.items()}
        self.requests: collections.Counter[str] = collections.Counter()
        self.bodies: list[dict[str, Any]] = []
        app = FastAPI()
        app.post("/v1/chat/completions")(self._complete)
        self._server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error")
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        [listening] = self._server.servers
        self.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        text = body["messages"][0]["content"][-1]["text"]
        [question] = re.findall(r"\[Question\]:\n(.*?)  \n", text)
        self.requests[question] += 1
        steps = self.plan[question]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, int):
            return JSONResponse({"error": {"message": "no"}}, step)
        if step == "garbage":
            return PlainTextResponse('{"choices": [', media_type="application/json")
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        message = {"role": "assistant", "content": step}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return JSONResponse({"choices": choices, "usage": usage})

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
