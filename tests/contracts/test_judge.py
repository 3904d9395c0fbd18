"""The contract of a judge: every option of conf/judge."""

import asyncio
from dataclasses import replace

import pytest
from support.chat_server import ChatServer
from support.contracts import option, options, parameters, without_option

from r1reward import judge as judges
from r1reward.config.compose import REPO
from r1reward.core.pair import Media
from r1reward.core.preferences import read_preferences
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.judge.base import Answer, Fault, Judge
from r1reward.judge.build import build_judge
from r1reward.judge.item import Item
from r1reward.judge.protocol import Call, Protocol

PHOTOS = REPO / "recipes" / "photos"
NAMES = options("judge")
# One that starts an engine takes a minute.
ALL = [
    pytest.param(name, marks=pytest.mark.slow)
    if "engine" in parameters(option("judge", name))
    else name
    for name in NAMES
]
GREEDY = Protocol("test", "both", "wrong", 0, 1, 0.0, 1.0, 1.0, 64)


@pytest.fixture(scope="module")
def server():
    """Answers the judges that ask an endpoint."""
    with ChatServer("say", text="<think>It counts.</think><answer>2</answer>") as server:
        yield server


@pytest.fixture
def build(server):
    """Builds a judge as evaluation does; local ones have the tiny model."""

    def judge_of(name, protocol=GREEDY):
        node = option("judge", name)
        if "base_url" in parameters(node):
            node.base_url, node.model = server.url, "model"
        return build_judge(node, protocol, PHOTOS)

    return judge_of


def items(count):
    rows = list(read_preferences(PHOTOS / "test.jsonl"))[:count]
    return [
        Item.of(record, index=index, id=f"id{index}", groups={}, subgroup="", cluster="")
        for index, record in enumerate(rows)
    ]


def answers(judge, calls, votes=(0,)):
    """The replies to each call, by number of vote; all calls at once."""

    async def one(call):
        found = [pair async for pair in judge.judge(call.item, votes)]
        assert sorted(vote for vote, _ in found) == sorted(votes), "each vote once, no other"
        return dict(found)

    async def session():
        try:
            return await asyncio.gather(*map(one, calls))
        finally:
            await judge.close()

    return asyncio.run(session())


def test_every_judge_has_an_option():
    assert {"hf", "vllm", "openai", "constant", "oracle", "random"} <= set(NAMES)
    assert without_option(judges, lambda one: issubclass(one, Judge), "judge") == []


@pytest.mark.parametrize("name", ALL)
def test_every_call_has_its_answer(name, build):
    calls = [call for item in items(2) for call in GREEDY.calls(item)]
    for reply in answers(build(name), calls):
        assert isinstance(reply[0], Answer)
        assert isinstance(parse_verdict(reply[0].text), Verdict)


@pytest.mark.parametrize("name", ALL)
def test_the_votes_that_are_asked_for_are_answered(name, build):
    protocol = replace(GREEDY, votes=5, temperature=1.0, max_tokens=8)
    [replies] = answers(build(name, protocol), [Call(items(1)[0], 5)], (1, 4))
    assert all(isinstance(reply, Answer) for reply in replies.values())


@pytest.mark.parametrize("name", ALL)
def test_media_that_are_not_there_raise_nothing(name, build):
    [good, bad] = items(2)
    bad = bad.with_media([Media("image", "nowhere.png")])
    calls = [Call(good, 1), Call(bad, 1)]
    [whole, broken] = answers(build(name), calls)
    assert isinstance(whole[0], Answer)
    assert isinstance(broken[0], Answer | Fault)  # a judge may look at no media
    assert isinstance(broken[0], Answer) or (broken[0].kind and broken[0].detail)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_judge_has_the_same_identity_and_digests(name, build):
    judge, again = build(name), build(name)
    assert judge.identity == again.identity != ""
    assert judge.window >= 1
    shown = [call.item for item in items(8) for call in GREEDY.calls(item)]
    digests = [judge.digest(one) for one in shown]
    assert len(set(digests)) == len(shown), "orders and pairs differ"
    assert [again.digest(one) for one in shown] == digests
