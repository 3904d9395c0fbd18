"""The judge behind an endpoint: its request, its answers, and what it never sends."""

import base64
import json
from dataclasses import replace

import pytest
from support.chat_server import ANSWER, ChatServer
from support.judge import GREEDY, PHOTOS, answers, build, items, remote

from r1reward.core.errors import UserError
from r1reward.core.pair import Media
from r1reward.core.prompt import render_prompt
from r1reward.endpoint.fault import Fault
from r1reward.judge.base import Answer
from r1reward.judge.protocol import Call


def test_the_request_is_the_prompt_the_photo_and_the_sampling(serve, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server = serve()
    protocol = replace(GREEDY, temperature=0.5, top_p=0.9, repetition_penalty=1.05)
    judge = remote(server, protocol, input_price=2.0, output_price=10.0)
    [item] = items(1)
    [replies] = answers(judge, [Call(item, 1)])
    assert replies[0] == Answer(ANSWER, 100, 7, 0.00027, "stop")
    [body] = server.bodies
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
    [body] = server.bodies
    assert "repetition_penalty" not in body
    assert (body["max_completion_tokens"], body["temperature"]) == (64, 0)


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_an_answer_says_why_it_ended(serve, finish) -> None:
    choice = {"message": {"content": "<think>Looked"}, "finish_reason": finish}
    server = serve("raw", status=200, text=json.dumps({"choices": [choice]}))
    [replies] = answers(remote(server), [Call(items(1)[0], 1)])
    assert replies[0] == Answer("<think>Looked", finish_reason=finish)


def test_each_vote_is_a_request_and_one_that_fails_spoils_no_other(serve) -> None:
    server = serve("refuse", 1, status=400)
    [replies] = answers(
        remote(server, replace(GREEDY, votes=5, temperature=1.0)), [Call(items(1)[0], 5)]
    )
    assert server.count == 5
    [fault] = [reply for reply in replies.values() if isinstance(reply, Fault)]
    assert fault.kind == "refused"
    assert [reply.text for reply in replies.values() if reply is not fault] == [ANSWER] * 4


def test_the_live_line_hears_of_trouble(serve) -> None:
    judge = remote(serve("errors", 2))
    assert (judge.trouble.retries, judge.trouble.last) == (0, "")
    answers(judge, [Call(items(1)[0], 1)])
    assert judge.trouble.retries == 2
    assert judge.trouble.last == "server: HTTP 500: something broke"


def test_several_addresses_share_the_work_and_stand_in_for_each_other(serve) -> None:
    one, two, gone = serve("slow", seconds=0.05), serve("slow", seconds=0.05), ChatServer().start()
    gone.die()
    judge = remote(one, base_url=[one.url, two.url, gone.url], concurrency=4)
    assert judge.window == 2 * 4 * 3
    found = answers(judge, [Call(items(1)[0], 1)] * 40)
    assert all(isinstance(replies[0], Answer) for replies in found)
    assert min(one.count, two.count) > 0


@pytest.mark.parametrize(
    ("base_url", "identity"),
    [
        ("http://x:8000/v1", "m@http://x:8000/v1"),
        ("http://x:8000/v1/", "m@http://x:8000/v1/"),
        (["http://y/v1", "http://x/v1"], "m@http://x/v1,http://y/v1"),
        (None, "m@api.openai.com"),
    ],
)
def test_the_identity_is_the_model_and_where_it_is(base_url, identity, monkeypatch) -> None:
    """Part of the key of every answer that was ever journaled."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert build("openai", base_url=base_url, model="m").identity == identity


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"model": None}, r"judge\.model"),
        ({"base_url": None, "key_env": "NO_SUCH_KEY"}, "set NO_SUCH_KEY, or judge.base_url"),
        ({"concurrency": 0}, "judge.concurrency=0"),
        ({"request_s": 9.0, "deadline_s": 3.0}, "ends before the deadline"),
        ({"base_url": "http://x/v1?api_key=hunter2"}, "put the key into the environment"),
    ],
)
def test_what_cannot_work_is_said_at_once(wrong, words) -> None:
    with pytest.raises(UserError, match=words) as raised:
        build("openai", **{"base_url": "http://x/v1", "model": "m", **wrong})
    assert "hunter2" not in str(raised.value)


def test_a_photo_that_is_not_there_is_never_sent(serve) -> None:
    server = serve()
    [item] = items(1)
    item = replace(item, media=(Media("image", "nowhere.png"),))
    [replies] = answers(remote(server), [Call(item, 2)])
    assert {reply.kind for reply in replies.values()} == {"media"}
    assert server.count == 0


def test_no_more_requests_than_allowed_are_in_flight(serve) -> None:
    server = serve("slow", seconds=0.05)
    calls = [Call(items(1)[0], 1)] * 30
    assert len(answers(remote(server, concurrency=3), calls)) == 30
    assert server.most == 3
