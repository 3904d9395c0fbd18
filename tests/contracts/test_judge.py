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
from r1reward.endpoint.fault import Fault
from r1reward.judge.base import Answer, Judge
from r1reward.judge.build import build_judge
from r1reward.judge.item import Item
from r1reward.judge.protocol import Protocol

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
    """The first rows of the photo set, each in both orders."""
    place = {"groups": {}, "subgroup": "", "cluster": ""}
    rows = list(read_preferences(PHOTOS / "test.jsonl"))[:count]
    found = [Item.of(one, index=n, id=f"id{n}", **place) for n, one in enumerate(rows)]
    return [shown for one in found for shown in (one, one.swapped())]


def answers(judge, pairs, votes=(0,)):
    """The replies to each pair, by number of vote; all pairs at once."""

    async def one(pair):
        found = [reply async for reply in judge.judge(pair, votes)]
        assert sorted(vote for vote, _ in found) == sorted(votes), "each vote once, no other"
        return dict(found)

    async def session():
        try:
            return await asyncio.gather(*map(one, pairs))
        finally:
            await judge.close()

    return asyncio.run(session())


def test_every_judge_has_an_option():
    assert {"hf", "vllm", "openai", "constant", "oracle", "random"} <= set(NAMES)
    assert without_option(judges, lambda one: issubclass(one, Judge), "judge") == []


@pytest.mark.parametrize("name", ALL)
def test_every_pair_has_its_answer(name, build):
    for reply in answers(build(name), items(2)):
        assert isinstance(reply[0], Answer)
        assert isinstance(parse_verdict(reply[0].text), Verdict)


@pytest.mark.parametrize("name", ALL)
def test_the_votes_that_are_asked_for_are_answered(name, build):
    protocol = replace(GREEDY, votes=5, temperature=1.0, max_tokens=8)
    [replies] = answers(build(name, protocol), items(1)[:1], (1, 4))
    assert all(isinstance(reply, Answer) for reply in replies.values())


@pytest.mark.parametrize("name", ALL)
def test_media_that_are_not_there_raise_nothing(name, build):
    good, bad = items(1)
    [whole, broken] = answers(build(name), [good, bad.with_media([Media("image", "nowhere.png")])])
    assert isinstance(whole[0], Answer)
    assert isinstance(broken[0], Answer | Fault)  # a judge may look at no media
    assert isinstance(broken[0], Answer) or (broken[0].kind and broken[0].detail)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_judge_has_the_same_identity_and_digests(name, build):
    judge, again = build(name), build(name)
    assert judge.identity == again.identity != ""
    assert judge.window >= 1
    shown = items(8)
    digests = [judge.digest(one) for one in shown]
    assert len(set(digests)) == len(shown), "orders and pairs differ"
    assert [again.digest(one) for one in shown] == digests
