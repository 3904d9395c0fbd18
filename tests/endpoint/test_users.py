"""What both users of the client make of a reply: the judge of evaluation, and the check."""

import json
import logging

import pytest
from support import consistency, judge

from r1reward.endpoint.fault import Fault
from r1reward.judge.protocol import Call

KEY = "sk-nobody-may-see-this"
VERDICT = '{"conclusion": "1"}'  # right for the first case of support.consistency


@pytest.fixture(params=["judge", "consistency"])
def answer(request, monkeypatch, caplog):
    """Ask a server one thing; return the answer, or the fault: its kind and words."""
    monkeypatch.setenv("SOME_KEY", KEY)
    # Nothing here is about time: what can end, ends long before.
    times = {"request_s": 60.0, "deadline_s": 600.0, "key_env": "SOME_KEY"}

    def by_judge(server, **settings):
        asked = judge.remote(server, **{**times, **settings})
        [replies] = judge.answers(asked, [Call(judge.items(1)[0], 1)])
        return replies[0] if isinstance(replies[0], Fault) else replies[0].text

    def by_check(server, **settings):
        with caplog.at_level(logging.WARNING):
            [[found]] = consistency.run(
                consistency.build(server, **{**times, **settings}), consistency.cases(1)
            )
        if found.failure is None:
            return found.consistent
        [record] = [one for one in caplog.records if one.msg.startswith("check failure")]
        return Fault(found.failure, record.getMessage())

    ask = {"judge": by_judge, "consistency": by_check}[request.param]
    ask.group = request.param
    return ask


def reply(finish="stop", **message):
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}]})


FAULTS = [
    # status, body, kind, words
    (200, '{"error": {"message": "model is gone", "code": 404}}', "refused", "model is gone"),
    (200, '{"object": "error", "message": "too long", "code": 400}', "refused", "too long"),
    (200, "<html>Sign in to the gateway</html>", "nonsense", "a web page and no API's reply"),
    (200, "<html>Sign in to the gateway</html>", "nonsense", "'Sign in to the gateway'"),
    (200, "<html>Sign in</html>", "nonsense", ".base_url="),
    (200, '{"choices": []}', "nonsense", "no chat completion"),
    (
        200,
        '{"choices": [{"message": {"content": 7}}]}',
        "nonsense",
        "no chat completion (TypeError)",
    ),
    (200, "", "nonsense", "no chat completion"),
    (200, reply("content_filter", content=None), "filtered", "content filter"),
    (200, reply("content_filter", content="", refusal="I cannot"), "filtered", "I cannot"),
    (401, '{"error": {"message": "Incorrect key"}}', "refused", "HTTP 401: Incorrect key"),
    (401, "{}", "refused", "check the key in SOME_KEY"),
    (403, "<html>no</html>", "refused", "check the key in SOME_KEY"),
    (404, '{"message": "The model `m` does not exist."}', "refused", ".model=m"),
    (404, '{"detail": "Not Found"}', "refused", ".base_url="),
    (400, '{"message": "maximum context length is 4096"}', "refused", "context length is 4096"),
    (400, '{"error": {"message": "Unsupported: max_tokens"}}', "refused", ".tokens_field=max_comp"),
    (413, "too large", "refused", "HTTP 413: too large"),
    (401, f'{{"error": {{"message": "wrong: {KEY}"}}}}', "refused", "wrong: ***"),
]


@pytest.mark.parametrize(("status", "body", "kind", "words"), FAULTS, ids=range(len(FAULTS)))
def test_a_bad_reply_is_the_same_fault_in_the_same_words(
    serve, answer, status, body, kind, words
) -> None:
    found = answer(serve("raw", status=status, text=body))
    assert isinstance(found, Fault)
    assert found.kind == kind
    assert words in found.detail
    assert KEY not in found.detail
    for other in {"judge", "consistency"} - {answer.group}:
        assert f"{other}." not in found.detail, "the settings are named as this user has them"


PASSING = [
    # what a server does first, settings of it
    ("errors", {}),
    ("rate_limit", {}),
    ("nonsense", {}),
    ("truncated", {}),
    ("drop", {}),
    ("raw", {"status": 200, "text": '{"error": {"message": "overloaded", "code": 502}}'}),
    ("raw", {"status": 200, "text": '{"error": {"message": "no code"}}'}),
    *(("raw", {"status": status, "text": "x"}) for status in (408, 409, 425, 503)),
]


@pytest.mark.parametrize(("mode", "given"), PASSING, ids=range(len(PASSING)))
def test_trouble_that_passes_costs_one_request(serve, answer, mode, given) -> None:
    server = serve(mode, 1, **given)
    assert answer(server) in ("<think>ok</think><answer>2</answer>", True)
    assert server.count == 2


STAYING = [
    ("errors", {}, "server", "HTTP 500: something broke"),
    ("rate_limit", {}, "rate_limit", "HTTP 429: too many"),
    ("raw", {"status": 503, "text": "<b>Down</b>"}, "server", "HTTP 503: a web page, Down"),
    (
        *("raw", {"status": 200, "text": '{"error": {"message": "overloaded", "code": 502}}'}),
        *("server", "an error in place of an answer: overloaded"),
    ),
]


@pytest.mark.parametrize(("mode", "given", "kind", "words"), STAYING, ids=range(len(STAYING)))
def test_without_one_answer_it_ends_after_patience_in_the_endpoints_words(
    serve, answer, mode, given, kind, words
) -> None:
    found = answer(serve(mode, **given), patience_s=0.5)
    assert found.kind == kind
    assert words in found.detail
    assert "gave up after 0.5 s without one answer" in found.detail


def test_a_long_rest_is_not_waited_for_and_its_number_is_said(serve, answer) -> None:
    server = serve("rate_limit", retry_after=99_999)
    found = answer(server)
    assert found.kind == "rate_limit"
    assert "asks to wait 99999 s" in found.detail
    assert server.count == 1


def test_nobody_there_and_a_proxy_that_is_set(serve, answer, monkeypatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://me:hunter2@127.0.0.1:9")
    found = answer(serve(), patience_s=0.5)
    assert found.kind == "connection"
    assert "cannot connect to 127.0.0.1:9" in found.detail
    assert "http_proxy is set" in found.detail
    assert "hunter2" not in found.detail


SHAPES = [
    {"content": VERDICT},
    {"content": [{"type": "text", "text": VERDICT[:5]}, {"type": "text", "text": VERDICT[5:]}]},
    {"content": None, "reasoning_content": VERDICT},
    {"content": VERDICT, "reasoning_content": "It says 0 or 1."},
    {"content": f"<think>Hm.</think>{VERDICT}", "reasoning_content": "Hm."},
]


@pytest.mark.parametrize("message", SHAPES, ids=range(len(SHAPES)))
def test_an_answer_is_found_wherever_it_is(serve, answer, message) -> None:
    found = answer(serve("raw", status=200, text=reply(**message)))
    if answer.group == "consistency":
        assert found is True
    else:
        assert VERDICT in found
        assert found.count("<think>") <= 1


@pytest.mark.parametrize("message", [{"content": None}, {"content": ""}])
def test_an_empty_answer_is_an_answer_to_one_and_unusable_to_the_other(
    serve, answer, message
) -> None:
    server = serve("raw", status=200, text=reply(**message))
    found = answer(server)
    if answer.group == "judge":
        assert (found, server.count) == ("", 1)
    else:
        assert (found.kind, server.count) == ("unparsed", 3)


def test_a_secret_in_an_address_is_refused_before_it_is_named(answer) -> None:
    class At:
        url = "http://me:hunter2@x/v1"

    with pytest.raises(Exception, match="key_env") as raised:
        answer(At)
    assert "hunter2" not in str(raised.value.__cause__ or raised.value)
