"""How long a question is asked, in a time of its own: pauses, deadlines, Retry-After, patience."""

import asyncio
from dataclasses import replace

import pytest
from support.endpoint import (
    BROKEN,
    BUSY,
    GONE,
    GOOD,
    NO_KEY,
    NO_MODEL,
    PAGE,
    after_an_answer,
    always,
    kinds,
    proven,
    together,
    until,
)
from support.virtual_time import run_virtually

from r1reward.endpoint.fault import RequestFault
from r1reward.endpoint.reply import Completion

FILTERED = RequestFault("filtered", "the endpoint's content filter withheld the answer", 200)
LATE = RequestFault("server", "HTTP 504: gateway timeout", 504)


# --- trouble that passes


@pytest.mark.parametrize("fault", [GONE, BUSY, BROKEN, replace(BROKEN, status=409)])
def test_trouble_is_waited_for_until_it_passes(connect, fault) -> None:
    client, transport = connect(proven(until(400, fault)))
    [result], seconds = run_virtually(after_an_answer(client))
    assert (result.value, result.fault) == ("good", None)
    assert 400 < seconds < 420, "a pause is at most 10 seconds, and a trial follows a probe"
    assert result.retries == len(transport.sent) - 2
    assert client.trouble.retries == result.retries


def test_pauses_grow_and_differ(connect) -> None:
    client, transport = connect(proven(until(300, BROKEN)))
    run_virtually(after_an_answer(client, 4))
    assert 4 * 30 < len(transport.sent) < 4 * 120, "about 8 seconds apart at the end, drawn"
    assert len({round(time, 3) for time, _ in transport.sent}) > 100


@pytest.mark.parametrize("fault", [GONE, BUSY, BROKEN])
def test_the_deadline_is_the_end_and_is_named(connect, fault) -> None:
    client, _ = connect(proven(always(fault)))
    [result], seconds = run_virtually(after_an_answer(client))
    assert result.fault.kind == fault.kind
    assert fault.detail in result.fault.detail
    assert "gave up after 600 s" in result.fault.detail or "no answer for 600 s" in (
        result.fault.detail
    )
    assert 590 < seconds <= 602


def test_a_request_that_hangs_is_repeated_after_request_s(connect) -> None:
    client, transport = connect(lambda now: (1e6 if now < 100 else 0.1, GOOD))
    [result], seconds = run_virtually(together(client, 1))
    assert kinds([result]) == {"timeout"}, "no answer ever came, and patience is over at 60 s"
    client, transport = connect(proven(lambda now: (1e6 if now < 100 else 0.1, GOOD)))
    [result], seconds = run_virtually(after_an_answer(client))
    assert result.value == "good"
    assert len(transport.sent) == 4
    assert 121 < seconds < 125


def test_a_last_try_without_time_does_not_hide_what_happened_before(connect) -> None:
    client, _ = connect(proven(lambda now: (0.1, BROKEN) if now < 500 else (1e6, GOOD)))
    [result], _ = run_virtually(after_an_answer(client))
    assert result.fault.kind in ("server", "timeout")
    quick, _ = connect(proven(lambda now: (0.1, BROKEN) if now < 595 else (1e6, GOOD)))
    [result], _ = run_virtually(after_an_answer(quick))
    assert result.fault.kind == "server"


# --- answers that cannot be used, and faults that are final


@pytest.mark.parametrize("retries", [0, 2, 5])
@pytest.mark.parametrize("reply", [PAGE, Completion("", prompt_tokens=100)])
def test_an_unusable_answer_is_asked_for_again_retries_times(connect, retries, reply) -> None:
    client, transport = connect(always(reply), retries=retries, input_price=2.0)
    [result], seconds = run_virtually(together(client, 1))
    assert len(transport.sent) == 1 + retries == 1 + result.retries
    assert result.fault.kind == ("unparsed" if isinstance(reply, Completion) else "nonsense")
    paid = (1 + retries) * 100 if isinstance(reply, Completion) else 0
    assert result.prompt_tokens == paid
    assert result.cost == pytest.approx(paid * 2e-6)
    assert seconds < 30


@pytest.mark.parametrize("fault", [NO_KEY, NO_MODEL, FILTERED, replace(NO_KEY, status=400)])
def test_what_is_final_is_asked_once(connect, fault) -> None:
    client, transport = connect(always(fault))
    results, seconds = run_virtually(together(client, 5))
    assert kinds(results) == {fault.kind}
    assert len(transport.sent) == 5
    assert seconds < 1


def test_a_filtered_answer_proves_the_settings(connect) -> None:
    client, _ = connect(always(FILTERED))
    [result], _ = run_virtually(together(client, 1))
    assert result.fault.detail == FILTERED.detail, "no advice"


# --- Retry-After


def test_an_endpoint_rests_for_as_long_as_it_asks_and_all_questions_wait(connect) -> None:
    rest = replace(BUSY, wait=100.0)
    client, transport = connect(until(50, rest))
    results, seconds = run_virtually(together(client, 30))
    assert kinds(results) == {None}
    assert all(time < 1 or time >= 100 for time, _ in transport.sent)
    assert len([time for time, _ in transport.sent if time < 1]) == 16, "those already under way"
    assert seconds < 120


@pytest.mark.parametrize("deadline", [600.0, 3600.0])
@pytest.mark.parametrize("fault", [BUSY, BROKEN])
def test_a_rest_beyond_the_deadline_is_given_up_at_once_with_its_number(
    connect, fault, deadline
) -> None:
    plan = proven(always(replace(fault, wait=9999.0)))
    client, transport = connect(plan, deadline_s=deadline)
    [result], seconds = run_virtually(after_an_answer(client))
    assert result.fault.kind == fault.kind
    assert f"asks to wait 9999 s, and {deadline:.0f} s are left" in result.fault.detail
    assert fault.detail in result.fault.detail
    assert len(transport.sent) == 2
    assert seconds < 2


def test_whoever_finds_the_endpoint_resting_past_the_deadline_hears_of_it(connect) -> None:
    client, transport = connect(proven(always(replace(BUSY, wait=300.0))), deadline_s=120.0)

    async def two():
        await after_an_answer(client)
        return await together(client, 1)

    [result], seconds = run_virtually(two())
    assert result.fault.kind == "rate_limit"
    assert "asks to wait 300 s, and 120 s are left" in result.fault.detail
    assert result.seconds == 0, "nothing was sent"
    assert len(transport.sent) == 2
    assert seconds < 2


def test_another_address_is_asked_while_one_rests(connect) -> None:
    client, transport = connect(always(replace(BUSY, wait=9999.0)), always(GOOD))
    results, seconds = run_virtually(together(client, 40))
    assert kinds(results) == {None}
    assert len([url for _, url in transport.sent if "host0" in url]) <= 16
    assert seconds < 20


# --- patience: while nothing has ever succeeded


@pytest.mark.parametrize("fault", [GONE, BUSY, BROKEN, LATE])
def test_without_any_answer_patience_is_the_end(connect, fault) -> None:
    client, _ = connect(always(fault, takes=0.5), concurrency=64)
    results, seconds = run_virtually(together(client, 128))
    assert kinds(results) <= {fault.kind, "down"}
    assert 20 <= seconds < 32
    for result in results:
        assert fault.detail in result.fault.detail, "the endpoint's own words"
    first = next(one.fault for one in results if one.fault.kind == fault.kind)
    assert "gave up after 20 s without one answer" in first.detail


def test_later_questions_fail_at_once_until_something_succeeds(connect) -> None:
    client, transport = connect(until(1000, GONE))

    async def session():
        await together(client, 4)
        asked, began = len(transport.sent), asyncio.get_running_loop().time()
        again = await together(client, 50)
        took = asyncio.get_running_loop().time() - began
        sent = len(transport.sent) - asked
        await asyncio.sleep(1100)
        return again, took, sent, await together(client, 50)

    (again, took, sent, later), _ = run_virtually(session())
    assert kinds(again) == {"down"}
    assert (took, sent) == (0, 0)
    assert kinds(later) == {None}


def test_a_gateway_that_takes_a_minute_to_fail_costs_that_minute(connect) -> None:
    client, _ = connect(always(LATE, takes=60), request_s=300.0)
    results, seconds = run_virtually(together(client, 64))
    assert kinds(results) <= {"server", "down"}
    assert seconds <= 130


def test_a_slow_address_is_waited_for_while_another_one_fails(connect) -> None:
    """The first answer takes a minute, and a fault of the other address proves nothing."""
    client, transport = connect(always(GOOD, takes=60), always(BROKEN), request_s=300.0)
    results, seconds = run_virtually(together(client, 40))
    assert kinds(results) == {None}
    impatient = [time for time, url in transport.sent if url == "http://host1/v1" and time > 20]
    assert impatient, "it was tried again after patience had ended"
    assert seconds < 600


def test_an_endpoint_that_bears_little_is_not_given_up(connect) -> None:
    """Four at a time, half a minute each; who is too many is told so at once."""
    running: list[float] = []

    def crowded(now):
        running[:] = [end for end in running if end > now]
        if len(running) >= 4:
            return 0.05, BUSY
        running.append(now + 30)
        return 30, GOOD

    client, _ = connect(crowded, request_s=300.0)
    results, _ = run_virtually(together(client, 16))
    assert kinds(results) == {None}


def test_one_answer_ends_the_impatience(connect) -> None:
    client, _ = connect(until(10, BROKEN), until(200, GONE))
    results, _ = run_virtually(together(client, 20))
    assert kinds(results) == {None}


# --- advice: words on what to change


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (NO_KEY, "HTTP 401: Incorrect API key provided; set NO_SUCH_KEY"),
        (NO_MODEL, "and judge.model=m"),
        (NO_MODEL, "check judge.base_url=http://host0/v1"),
        (PAGE, "check judge.base_url=http://host0/v1"),
        (GONE, "see that a server runs at judge.base_url=http://host0/v1"),
        (
            RequestFault("refused", "HTTP 400: Unsupported parameter: 'max_tokens'", 400),
            "set judge.tokens_field=max_completion_tokens",
        ),
    ],
)
def test_the_setting_to_change_is_named(connect, fault, words) -> None:
    client, _ = connect(always(fault))
    [result], _ = run_virtually(together(client, 1))
    assert words in result.fault.detail


def test_a_key_that_is_set_is_to_be_checked(connect, monkeypatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    client, _ = connect(always(NO_KEY), key_env="SOME_KEY")
    [result], _ = run_virtually(together(client, 1))
    assert result.fault.detail.endswith("; check the key in SOME_KEY")


def test_an_endpoint_that_has_answered_needs_no_advice(connect) -> None:
    client, _ = connect(proven(always(NO_MODEL)))
    [result], _ = run_virtually(after_an_answer(client))
    assert result.fault.detail == NO_MODEL.detail


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_a_proxy_is_named_unless_it_is_not_used(connect, monkeypatch, name) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, "http://me:hunter2@proxy:3128")
    client, _ = connect(always(GONE))
    [result], _ = run_virtually(together(client, 1))
    assert f"{name} is set" in result.fault.detail
    assert "NO_PROXY" in result.fault.detail
    assert "hunter2" not in result.fault.detail
    monkeypatch.setenv("NO_PROXY", "host0")
    client, _ = connect(always(GONE))
    [result], _ = run_virtually(together(client, 1))
    assert "PROXY" not in result.fault.detail
