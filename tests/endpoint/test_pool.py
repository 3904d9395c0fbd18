"""Several addresses, in a time of its own: who is asked, set aside, probed and used again."""

import asyncio
from collections import Counter

import pytest
from support.endpoint import (
    BROKEN,
    GONE,
    GOOD,
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


def sent(transport, since=0.0):
    return Counter(url for time, url in transport.sent if time >= since)


def test_the_least_loaded_address_is_asked(connect) -> None:
    client, transport = connect(always(GOOD, takes=1), always(GOOD, takes=3))
    results, seconds = run_virtually(together(client, 200))
    assert kinds(results) == {None}
    fast, slow = transport.sent and (sent(transport)[f"http://host{n}/v1"] for n in (0, 1))
    assert 2 * slow < fast
    assert seconds < 20


@pytest.mark.parametrize("fault", [GONE, BROKEN, PAGE, NO_MODEL])
def test_a_broken_one_of_two_spoils_nothing(connect, fault) -> None:
    client, transport = connect(always(GOOD), always(fault), retries=9)
    results, seconds = run_virtually(together(client, 100))
    assert kinds(results) == {None}
    assert sent(transport)["http://host1/v1"] <= 40, "it was set aside"
    assert seconds < 20


def test_a_hanging_one_of_two_costs_time_and_no_answer(connect) -> None:
    client, transport = connect(always(GOOD), always(GOOD, takes=1e6))
    results, seconds = run_virtually(together(client, 100))
    assert kinds(results) == {None}
    assert sent(transport)["http://host1/v1"] <= 40
    assert 60 <= seconds < 600, "a trial of it hangs as well"


def test_another_takes_over_and_the_one_that_comes_back_is_used_again(connect) -> None:
    client, transport = connect(
        lambda now: (0.05, GONE if 10 <= now < 40 else GOOD), always(GOOD, takes=0.05)
    )

    async def session():
        clock, found = asyncio.get_running_loop().time, []
        for starts in (0, 10, 100):
            await asyncio.sleep(starts - clock())
            found.append((await together(client, 200), clock() - starts))
        return found

    found, _ = run_virtually(session())
    for results, seconds in found:
        assert kinds(results) == {None}
        assert seconds < 3
    assert min(sent(transport)[f"http://host{n}/v1"] for n in (0, 1)) > 50
    assert sent(transport, since=100)["http://host0/v1"] > 20


def test_one_that_dies_in_the_middle_and_comes_back_loses_what_was_in_flight(connect) -> None:
    client, transport = connect(lambda now: (0.1, GONE if 0.5 <= now < 30 else GOOD))
    results, seconds = run_virtually(together(client, 150))
    assert kinds(results) == {None}
    lost = len(transport.sent) - 150
    assert 0 < lost <= 16 + 3, "what was in flight, and little more, was asked again"
    assert sum(result.retries for result in results) >= lost
    assert seconds < 50


def test_after_a_long_outage_nobody_waits_until_an_answer_came(connect) -> None:
    client, _ = connect(proven(until(3000, GONE)))

    async def session():
        clock = asyncio.get_running_loop().time
        first = await after_an_answer(client, 8)
        waited = clock()
        second = await together(client, 200)
        at_once = clock() - waited
        await asyncio.sleep(3020 - clock())
        return first, waited, second, at_once, await together(client, 40)

    (first, waited, second, at_once, third), _ = run_virtually(session())
    assert kinds(first) == {"connection"}
    assert "gave up after 600 s" in first[0].fault.detail
    assert 600 < waited < 605
    assert kinds(second) == {"down"}
    assert at_once < 1
    assert {result.seconds for result in second} == {0.0}, "nothing was sent"
    assert kinds(third) == {None}, "it came back, and was asked"


@pytest.mark.parametrize(
    "plan", [until(2000, BROKEN), lambda now: (1e6 if now < 2000 else 1, GOOD)]
)
def test_one_that_lists_models_but_answers_nothing_costs_one_wait(connect, plan) -> None:
    client, transport = connect(proven(plan))

    async def session():
        clock = asyncio.get_running_loop().time
        first = await after_an_answer(client, 40)
        await together(client, 1)  # after the deadline, one more failure: set aside
        began, before = clock(), len(transport.sent)
        later = await together(client, 200)
        took, more = clock() - began, len(transport.sent) - before
        await asyncio.sleep(2100 - clock())
        return first, later, took, more, await together(client, 20)

    (first, later, took, more, again), _ = run_virtually(session())
    assert kinds(first) <= {"server", "timeout"}
    assert "down" in kinds(later)
    assert took < 70
    assert more < 40
    assert kinds(again) == {None}


def test_one_that_does_not_list_models_is_asked_nothing(connect) -> None:
    client, transport = connect(proven(until(100, GONE)))
    results, _ = run_virtually(after_an_answer(client, 8))
    assert kinds(results) == {None}
    assert len([time for time, _ in transport.sent if 1 <= time < 100]) <= 8
    assert 10 <= len(transport.probes) <= 30, "at most 10 seconds apart"


def test_a_call_that_is_cancelled_leaves_its_place(connect) -> None:
    client, _ = connect(lambda now: (1e6 if now < 5 else 0.1, GOOD), concurrency=2)

    async def session():
        stuck = asyncio.create_task(together(client, 6))
        await asyncio.sleep(10)
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
        return await together(client, 6)

    results, seconds = run_virtually(session())
    assert kinds(results) == {None}
    assert seconds < 12


def test_no_more_than_allowed_are_in_flight_at_each_address(connect) -> None:
    client, transport = connect(always(GOOD, takes=1), always(GOOD, takes=1), concurrency=5)
    results, seconds = run_virtually(together(client, 100))
    assert kinds(results) == {None}
    assert set(Counter(transport.sent).values()) == {5}
    assert seconds == pytest.approx(10)
