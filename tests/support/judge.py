"""Judges as evaluation builds them, pairs to judge, and what they answer."""

import asyncio

from hydra.utils import instantiate
from omegaconf import OmegaConf

from r1reward.config.compose import REPO, register_resolvers
from r1reward.core.preferences import read_preferences
from r1reward.judge.base import Judge
from r1reward.judge.item import Item
from r1reward.judge.protocol import Protocol

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


def remote(server, protocol=GREEDY, **settings) -> Judge:
    """The judge of conf/judge/openai.yaml; its times leave a busy machine some room."""
    given = {"base_url": server.url, "model": "m", "request_s": 60.0, **settings}
    return build("openai", protocol, **given)
