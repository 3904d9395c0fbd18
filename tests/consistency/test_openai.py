"""The remote check against a server that does everything a server can do to it."""

import asyncio
import logging

import pytest
from support.chat_server import ChatServer
from support.consistency import build, cases, expected, kinds, run, together, verdicts

from r1reward.consistency.base import Agreement, CheckCall
from r1reward.consistency.prompts import PRESETS

N = 48


# --- trouble that passes: every agreement is the right one, and the requests are counted

PASSING = [
    # mode, for how many requests, settings, requests beyond one a case
    ("right", None, {}, 0),
    ("slow", None, {}, 0),
    ("jittery", None, {}, 0),
    ("rate_limit", 5, {"retry_after": 0.3}, 5),
    ("rate_limit", 5, {"retry_after": None}, 5),
    ("errors", 2, {}, 2),
    ("errors", 20, {}, 20),
    ("garbage", 2, {}, 2),
    ("nonsense", 2, {}, 2),
    ("truncated", 2, {}, 2),
    ("drop", 3, {}, 3),
    ("hang", 3, {}, 3),
]


@pytest.mark.parametrize("prompt", PRESETS)
@pytest.mark.parametrize(
    ("mode", "times", "given", "extra"), PASSING, ids=[f"{p[0]}-{p[1]}" for p in PASSING]
)
def test_trouble_that_passes_costs_requests_and_no_agreement(
    serve, mode, times, given, extra, prompt
) -> None:
    server, asked = serve(mode, times, **given), cases(N)
    patient = 2.0 if mode == "hang" else 300.0
    [got] = run(build(server, prompt=prompt, request_s=patient), asked)
    assert verdicts(got) == expected(asked)
    assert kinds(got) == {None}
    repeated = sum(item.call.retries for item in got)
    assert server.count == N + repeated
    assert repeated >= extra if mode == "hang" else repeated == extra
    assert all(item.call.prompt_tokens >= 100 for item in got)


def test_a_server_that_only_takes_a_few_at_a_time_is_not_overrun(serve) -> None:
    server, asked = serve("crowded", capacity=4, seconds=0.05), cases(120)
    [got] = run(build(server, concurrency=64), asked)
    assert verdicts(got) == expected(asked)
    assert server.most <= 32, "it began with 16, and did not rise far above what is borne"


def test_no_more_than_allowed_are_in_flight_and_connections_are_used_again(serve) -> None:
    server, asked = serve("slow", seconds=0.02), cases(200)
    [got] = run(build(server, concurrency=5), asked)
    assert verdicts(got) == expected(asked)
    assert server.most == 5
    assert len(server.peers) == 5


@pytest.mark.parametrize(
    ("mode", "tried"),
    [("openai", ["structured_outputs"]), ("plain", ["structured_outputs", "response_format"])],
)
def test_a_form_that_a_server_refuses_is_left_out_and_remembered(serve, mode, tried) -> None:
    server, asked = serve(mode), cases(2 * N)
    check = build(server, concurrency=4)
    first, second = run(check, asked[:N], asked[N:])
    assert verdicts(first) + verdicts(second) == expected(asked)
    refused = [n for n, body in enumerate(server.bodies) if set(tried) & set(body)]
    assert len(tried) <= len(refused) <= 4 * len(tried), "once for each request of the first round"
    assert server.count == 2 * N + len(refused)
    assert max(refused) < 16


def test_a_form_that_a_server_ignores_is_left_for_one_that_it_knows(serve) -> None:
    server, asked = serve("chatty"), cases(2 * N)
    first, second = run(build(server, concurrency=4), asked[:N], asked[N:])
    assert verdicts(first) + verdicts(second) == expected(asked)
    assert 2 * N < server.count <= 2 * N + 4


def test_a_refusal_of_the_text_is_no_refusal_of_the_form(serve) -> None:
    server = serve("refuse", status=400)
    check = build(server)

    async def session():
        refused = await together(check, cases(1))
        server.set("right")
        await together(check, cases(1))
        await check.close()
        return refused

    assert kinds(asyncio.run(session())) == {"refused"}
    assert "structured_outputs" in server.bodies[-1]


def test_the_forms_are_those_of_the_answer_and_the_published_prompt_has_none(serve) -> None:
    server = serve("plain")
    run(build(server), cases(1))
    run(build(server, prompt="released"), cases(1))
    choice, schema, plain, released = server.bodies
    assert choice.pop("structured_outputs") == {
        "choice": ['{"conclusion": "1"}', '{"conclusion": "2"}', '{"conclusion": "none"}']
    }
    form = schema.pop("response_format")
    assert form["type"] == "json_schema"
    assert form["json_schema"]["schema"]["properties"]["conclusion"]["enum"] == ["1", "2", "none"]
    assert choice == schema == plain
    sampling = {"model": "m", "temperature": 0.0, "max_tokens": 1024}
    assert plain == {"messages": plain["messages"], **sampling}
    sampling = {"model": "m", "temperature": 0.1, "max_tokens": 4096}
    assert released == {"messages": released["messages"], **sampling}


# --- trouble that stays: a failure of its kind, in bounded time

STAYING = [
    # mode, settings, failure, requests a case
    ("garbage", {}, "unparsed", 3),
    ("say", {"text": ""}, "unparsed", 3),
    ("nonsense", {}, "nonsense", 3),
    ("truncated", {}, "nonsense", 3),
    ("refuse", {"status": 401}, "refused", 1),
    ("refuse", {"status": 404}, "refused", 1),
    ("refuse", {"status": 302}, "refused", 1),
    ("refuse", {"status": 400}, "refused", 3),  # in each of the forms
]


@pytest.mark.parametrize(
    ("mode", "given", "failure", "requests"),
    STAYING,
    ids=[f"{s[0]}-{'-'.join(map(str, s[1].values()))}" for s in STAYING],
)
def test_trouble_that_stays_is_a_failure_of_its_kind(serve, mode, given, failure, requests) -> None:
    server = serve(mode, **given)
    [got] = run(build(server), cases(4))
    assert [item.consistent for item in got] == [None] * 4
    assert kinds(got) == {failure}
    assert server.count == 4 * requests == sum(item.call.retries + 1 for item in got)


@pytest.mark.parametrize(
    ("mode", "given", "failure"),
    [
        ("errors", {}, "server"),
        ("rate_limit", {}, "rate_limit"),
        ("rate_limit", {"retry_after": None}, "rate_limit"),
        ("hang", {}, "timeout"),
        ("drop", {}, "connection"),
    ],
    ids=["errors", "rate_limit", "rate_limit-None", "hang", "drop"],
)
def test_trouble_that_might_pass_ends_with_the_time(serve, mode, given, failure) -> None:
    server = serve(mode, **given)
    [got] = run(build(server, request_s=1.0, deadline_s=2.0), cases(4))
    assert [item.consistent for item in got] == [None] * 4
    assert failure in kinds(got) <= {failure, "timeout", "down"}
    asked = [item.call for item in got if item.call.seconds]
    assert sum(call.retries + 1 for call in asked) == server.count


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_unreadable_answers_are_asked_again_as_often_as_configured(serve, retries) -> None:
    server = serve("garbage")
    [got] = run(build(server, retries=retries), cases(3))
    assert server.count == 3 * (1 + retries)
    assert {item.call.retries for item in got} == {retries}
    assert {item.call.prompt_tokens for item in got} == {100 * (1 + retries)}


def test_a_failure_says_why_once(serve, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        run(build(serve("garbage")), cases(3))
    [record] = [one for one in caplog.records if one.msg.startswith("check failure")]
    assert "unparsed, 1 so far: no usable answer in 'Well, that depends.'" in record.getMessage()


NONSENSE = ["", "{", "[]", "null", '"text"', "{}", '{"choices": []}', '{"choices": null}']
NONSENSE += ['{"choices": [{"message": {"content": 7}}]}', '{"choices": [3]}', "[" * 100_000]
NONSENSE += ['{"choices": [{"message": {"content": "1"}}], "usage": {"prompt_tokens": "many"}}']
NONSENSE += ['{"choices": [{"message": {"content": "1"}}], "usage": [1]}', b"\xff\xfe"]


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_no_body_makes_it_raise(serve, monkeypatch, body) -> None:
    monkeypatch.setattr("support.chat_server._completion", lambda _: body)
    [got] = run(build(serve(), retries=0), cases(1))
    assert kinds(got) == {"nonsense"}


# --- endpoints that die, and come back (tests/endpoint/test_pool.py has the times)


def test_nobody_there_is_a_failure_and_then_one_without_a_request() -> None:
    server = ChatServer().start()
    server.die()
    check = build(server, patience_s=0.5)

    async def session():
        first = await together(check, cases(8))
        second = await together(check, cases(200))
        server.start()
        third = await together(check, cases(8))
        while None not in kinds(third):  # the next probe is up to ten seconds away
            await asyncio.sleep(0.1)
            third = await together(check, cases(8))
        server.die()
        await check.close()
        return first, second, third

    first, second, third = asyncio.run(session())
    assert "connection" in kinds(first) <= {"connection", "down"}
    assert kinds(second) == {"down"}
    assert {item.call for item in second} == {CheckCall(0.0)}
    assert verdicts(third) == expected(cases(8)), "it came back, and was asked"


def test_one_that_dies_in_the_middle_of_a_batch_and_comes_back(serve) -> None:
    server, asked = serve("slow", seconds=0.5), cases(60)

    async def session():
        check = build(server)
        batch = asyncio.create_task(together(check, asked))
        while server.count < 20:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.die)
        died = server.count
        server.start()
        got = await batch
        await check.close()
        return got, died

    got, died = asyncio.run(session())
    assert 20 <= died < 60
    assert verdicts(got) == expected(asked)
    assert server.count > 60, "what was in flight was asked again"
    assert sum(item.call.retries for item in got) >= server.count - 60


def test_another_takes_over_and_the_one_that_comes_back_is_used_again(serve) -> None:
    one, two = serve("slow", seconds=0.05), serve("slow", seconds=0.05)

    async def session():
        check = build(one, two)
        first = await together(check, cases(100, "a"))
        shares = [one.count, two.count]
        await asyncio.to_thread(one.die)
        dead = one.count
        second = await together(check, cases(100, "b"))
        assert one.count == dead
        one.start()
        while not one.probes:
            await asyncio.sleep(0.1)
        third = await together(check, cases(100, "c"))
        await check.close()
        return [first, second, third], shares, one.count - dead

    batches, shares, again = asyncio.run(session())
    for batch in batches:
        assert verdicts(batch) == expected(cases(100))
    assert min(shares) > 0
    assert again > 0


# --- one instance, several event loops; calls that are given up


def test_an_instance_outlives_an_event_loop(serve) -> None:
    server = serve()
    check = build(server)
    for _ in range(3):
        assert verdicts(asyncio.run(together(check, cases(20)))) == expected(cases(20))


def test_a_call_that_is_cancelled_leaves_its_place(serve) -> None:
    server = serve("hang")

    async def session():
        check = build(server, concurrency=2)
        stuck = asyncio.create_task(together(check, cases(6, "stuck")))
        while server.count < 2:
            await asyncio.sleep(0.01)
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
        server.set("right")
        got = await together(check, cases(6))
        await check.close()
        return got

    assert verdicts(asyncio.run(session())) == expected(cases(6))


def test_no_case_is_no_request(serve) -> None:
    server = serve()
    assert asyncio.run(build(server).check([])) == []
    assert server.count == 0
    assert Agreement(True).call is None
