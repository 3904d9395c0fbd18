"""Judges with weights on this machine, and what an endpoint may do to the judge that asks it."""

import asyncio
import base64
import json
import threading
import time
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from r1reward.config.compose import REPO, register_resolvers
from r1reward.core.pair import Media
from r1reward.core.preferences import read_preferences
from r1reward.core.prompt import render_prompt
from r1reward.judge.base import Answer, Fault, Judge, JudgeError
from r1reward.judge.item import Item
from r1reward.judge.local import fingerprint
from r1reward.judge.protocol import Call, Protocol

CONF = REPO / "conf" / "judge"
PHOTOS = REPO / "recipes" / "photos"
GREEDY = Protocol("test", "both", "wrong", 0, 1, 0.0, 1.0, 1.0, 64)


def items(count):
    rows = list(read_preferences(PHOTOS / "test.jsonl"))[:count]
    return [
        Item.of(record, index=index, id=f"id{index}", groups={}, subgroup="", cluster="")
        for index, record in enumerate(rows)
    ]


def build(name, protocol=GREEDY, **settings) -> Judge:
    """A judge as evaluation builds it, from its configuration."""
    register_resolvers()
    config = OmegaConf.load(CONF / f"{name}.yaml")
    config.update(settings)
    return instantiate(config, _partial_=True, _convert_="all")(
        protocol=protocol, media_root=PHOTOS
    )


async def ask(judge, calls, votes=None):
    """The replies to each call, by number of vote; all calls at once."""

    async def one(call):
        numbers = list(range(call.votes)) if votes is None else votes
        found = [pair async for pair in judge.judge(call.item, numbers)]
        assert sorted(vote for vote, _ in found) == sorted(numbers), "each vote once, no other"
        return dict(found)

    return await asyncio.gather(*(one(call) for call in calls))


def answers(judge, calls, votes=None):
    async def session():
        try:
            return await ask(judge, calls, votes)
        finally:
            await judge.close()

    return asyncio.run(session())


# --- an endpoint of our own


class Endpoint(ThreadingHTTPServer):
    """Answers chat completions from ``script``, one entry a request; the last one stays.

    An entry is a status, a text to send as it is, a number of seconds to sleep (as a float), or
    None for a good answer.
    """

    daemon_threads = True

    def __init__(self, script=(None,)):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.requests, self.headers = list(script), [], []
        self.running, self.most, self.lock = 0, 0, threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        with server.lock:
            server.requests.append(body)
            server.headers.append({key.lower(): value for key, value in self.headers.items()})
            step = server.script.pop(0) if len(server.script) > 1 else server.script[0]
            server.running += 1
            server.most = max(server.most, server.running)
        if isinstance(step, float):
            time.sleep(step)
        with server.lock:  # before the answer: the next request may follow at once
            server.running -= 1
        with suppress(BrokenPipeError):
            self._answer(step)

    def _answer(self, step):
        if isinstance(step, int):
            # as OpenAI does, the message repeats the key
            text = f"no: {self.headers['authorization']}"
            return self._send(step, json.dumps({"error": {"message": text}}))
        if isinstance(step, str):
            return self._send(200, step)
        message = {"role": "assistant", "content": "<think>ok</think><answer>2</answer>"}
        return self._send(
            200,
            json.dumps(
                {
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
                }
            ),
        )

    def _send(self, status, text):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Start endpoints that end with the test."""
    started = []

    def start(*script) -> Endpoint:
        server = Endpoint(script or (None,))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def remote(server, protocol=GREEDY, **settings):
    given = {"base_url": server.url, "model": "m", "request_s": 2.0, "deadline_s": 6.0, **settings}
    return build("openai", protocol, **given)


# --- weights on this machine


@pytest.mark.parametrize("name", ["hf", "vllm"])
def test_limits_on_pixels_are_part_of_what_is_shown(name) -> None:
    [item] = items(1)
    digests = {build(name, max_pixels=limit).digest(item) for limit in (None, 4000, 8000)}
    assert len(digests) == 3


@pytest.mark.parametrize("name", ["hf", "vllm"])
def test_a_model_that_is_not_there_is_named(name, tmp_path) -> None:
    with pytest.raises(JudgeError, match=r"no config\.json"):
        build(name, model=str(tmp_path))
    with pytest.raises(JudgeError, match="no such folder"):
        build(name, model=str(tmp_path / "nowhere"))


def test_the_identity_follows_the_weights(tmp_path) -> None:
    weights = bytearray(b"0" * 10_000_000)
    prints = set()
    for name, at, value in [("a", 0, b"0"), ("b", 0, b"1"), ("c", 9_999_999, b"1")]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(weights[:at] + value + weights[at + 1 :])
        prints.add(fingerprint(folder))
    assert len(prints) == 3
    (tmp_path / "a" / "README.md").write_text("words")
    assert fingerprint(tmp_path / "a") in prints


# --- transformers


@pytest.fixture(scope="module")
def tiny():
    return build("hf", batch_size=4)


def test_batches_do_not_mix_and_do_not_change_greedy_answers(tiny) -> None:
    calls = [call for item in items(4) for call in GREEDY.calls(item)]
    together = answers(tiny, calls)
    alone = [answers(tiny, [call])[0] for call in calls]
    assert together == alone
    assert len({reply[0].prompt_tokens for reply in together}) > 1
    assert all(0 < reply[0].completion_tokens <= 64 for reply in together)


def test_an_image_that_does_not_open_spoils_no_other_answer(tiny) -> None:
    good, bad = items(2)
    bad = bad.with_media([Media("image", "manifest.jsonl")])
    replies = answers(tiny, [Call(good, 1), Call(bad, 1)])
    assert isinstance(replies[0][0], Answer)
    assert replies[1][0].kind == "media"
    assert "manifest.jsonl" in replies[1][0].detail


def test_it_looks_at_the_pixels() -> None:
    """The same pairs with the photos exchanged: a blind judge would say the same."""
    own = items(204)[::8]
    media = [item.media for item in own]
    other = [
        replace(item, media=shown) for item, shown in zip(own, media[1:] + media[:1], strict=True)
    ]
    judge = build("hf", batch_size=26)
    texts = [
        [r[0].text for r in answers(judge, [Call(i, 1) for i in them])] for them in (own, other)
    ]
    assert texts[0] != texts[1]


def test_sampling_is_the_protocols_and_never_the_models(tmp_path) -> None:
    checkpoint = REPO / "recipes" / "tiny" / "checkpoint"
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    wanted = json.loads((checkpoint / "generation_config.json").read_text())
    recommended = {"repetition_penalty": 5.0, "do_sample": True, "temperature": 9.0, "top_k": 3}
    (tmp_path / "generation_config.json").write_text(json.dumps(wanted | recommended))
    calls = [Call(item, 1) for item in items(4)]
    asked = [answers(build("hf", model=str(path)), calls) for path in (checkpoint, tmp_path)]
    assert asked[0] == asked[1]
    limited = build("hf", replace(GREEDY, max_tokens=3))
    assert {reply[0].completion_tokens for reply in answers(limited, calls)} == {3}


def test_votes_differ_when_they_are_drawn() -> None:
    protocol = replace(GREEDY, votes=12, temperature=1.5)
    judge = build("hf", protocol)
    [replies] = answers(judge, [Call(items(1)[0], 12)])
    assert len({reply.text for reply in replies.values()}) > 1


# --- vLLM


@pytest.mark.slow
def test_vllm_reads_the_tokens_that_transformers_reads_and_answers_alike(tiny) -> None:
    judge = build("vllm")

    async def session(shown):
        try:
            prompts = [judge._prompt(item) for item in shown]
            outputs = await asyncio.gather(*(judge._finished(prompt, 1) for prompt in prompts))
            return [list(one.prompt_token_ids) for one in outputs], await ask(judge, calls)
        finally:
            await judge.close()

    calls = [call for item in items(6) for call in GREEDY.calls(item)]
    shown = [call.item for call in calls]
    tokens, replies = asyncio.run(session(shown))
    prepared = [tiny._inputs([tiny.prepare(tiny._processor, item)]) for item in shown]
    assert tokens == [one["input_ids"][0].tolist() for one in prepared]
    same = [a[0].text == b[0].text for a, b in zip(replies, answers(tiny, calls), strict=True)]
    assert sum(same) >= len(same) - 1  # float32 sums in another order


# --- an OpenAI-compatible endpoint


def test_the_request_is_the_prompt_the_photo_and_the_sampling(serve, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server = serve()
    protocol = replace(GREEDY, temperature=0.5, top_p=0.9, repetition_penalty=1.05)
    judge = remote(server, protocol, input_price=2.0, output_price=10.0)
    [item] = items(1)
    [replies] = answers(judge, [Call(item, 1)])
    assert replies[0] == Answer("<think>ok</think><answer>2</answer>", 100, 7, 0.00027)
    [body] = server.requests
    [turn] = body["messages"]
    image, text = turn["content"]
    assert text == {"type": "text", "text": render_prompt(item.question, item.responses)}
    kind, _, content = image["image_url"]["url"].partition(";base64,")
    assert kind == "data:image/webp"
    assert base64.b64decode(content) == (PHOTOS / item.media[0].uri).read_bytes()
    sampling = {key: value for key, value in body.items() if key != "messages"}
    assert sampling == {
        **{"model": "m", "temperature": 0.5, "top_p": 0.9},
        **{"repetition_penalty": 1.05, "max_tokens": 64},
    }
    assert server.headers[0]["authorization"] == "Bearer sk-secret"


def test_only_a_penalty_that_is_one_is_left_out(serve) -> None:
    server = serve()
    answers(remote(server, tokens_field="max_completion_tokens"), [Call(items(1)[0], 1)])
    [body] = server.requests
    assert "repetition_penalty" not in body
    assert (body["max_completion_tokens"], body["temperature"]) == (64, 0)


NONSENSE = ["", "{", "[]", "null", '"text"', "<html>", "{}", '{"choices": []}']
NONSENSE += ['{"choices": null}', '{"choices": [{"message": {"content": 7}}]}']


@pytest.mark.parametrize("trouble", [500, 503, 429, *NONSENSE])
def test_trouble_that_passes_costs_time_only(trouble, serve) -> None:
    server = serve(trouble, None)
    [replies] = answers(remote(server), [Call(items(1)[0], 1)])
    assert isinstance(replies[0], Answer)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("trouble", "kind"), [(500, "server"), (429, "rate_limit"), ("{", "nonsense"), (1.0, "timeout")]
)
def test_trouble_that_stays_is_a_fault_at_the_deadline(trouble, kind, serve) -> None:
    patience = 0.3 if kind == "timeout" else 1.0
    judge = remote(serve(trouble), request_s=patience, deadline_s=1.5)
    began = time.monotonic()
    [replies] = answers(judge, [Call(items(1)[0], 1)])
    assert replies[0].kind == kind
    assert "gave up after 1.5 s" in replies[0].detail
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_refusal_is_final_and_never_shows_the_key(status, serve, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server = serve(status, None)
    [replies] = answers(remote(server), [Call(items(1)[0], 1)])
    assert isinstance(replies[0], Fault)
    assert replies[0].kind == "refused"
    assert "sk-secret" not in replies[0].detail
    assert "***" in replies[0].detail, "the endpoint had repeated the key"
    assert len(server.requests) == 1


def test_nobody_there_is_a_fault(serve) -> None:
    server = serve()
    judge = remote(server, request_s=0.3, deadline_s=1.0)
    server.shutdown()
    server.server_close()
    [replies] = answers(judge, [Call(items(1)[0], 1)])
    assert replies[0].kind in ("connection", "timeout")


def test_a_photo_that_is_not_there_is_never_sent(serve) -> None:
    server = serve()
    [item] = items(1)
    item = item.with_media([Media("image", "nowhere.png")])
    [replies] = answers(remote(server), [Call(item, 2)])
    assert {reply.kind for reply in replies.values()} == {"media"}
    assert server.requests == []


def test_no_more_requests_than_allowed_are_in_flight(serve) -> None:
    server = serve(0.1)
    calls = [Call(items(1)[0], 1)] * 30
    assert len(answers(remote(server, concurrency=3), calls)) == 30
    assert server.most == 3
