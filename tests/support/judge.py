"""Judges as evaluation builds them, pairs to judge, and what they answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf
from support.consistency import Addressed

from r1reward.config.compose import REPO, register_resolvers
from r1reward.core.preferences import read_preferences
from r1reward.judge.base import Judge, Reply
from r1reward.judge.item import Item
from r1reward.judge.protocol import Call, Protocol

CONF = REPO / "conf" / "judge"
PHOTOS = REPO / "recipes" / "photos"
GREEDY = Protocol("test", "both", "wrong", 0, 1, 0.0, 1.0, 1.0, 64)


def items(count: int) -> list[Item]:
    rows = list(read_preferences(PHOTOS / "test.jsonl"))[:count]
    return [
        Item.of(record, index=index, id=f"id{index}", groups={}, subgroup="", cluster="")
        for index, record in enumerate(rows)
    ]


def build(name: str, protocol: Protocol = GREEDY, **settings: Any) -> Judge:
    """A judge as evaluation builds it, from its configuration."""
    register_resolvers()
    config: Any = OmegaConf.load(CONF / f"{name}.yaml")
    config.update(settings)
    make = instantiate(config, _partial_=True, _convert_="all")
    judge: Judge = make(protocol=protocol, media_root=PHOTOS)
    return judge


async def ask(
    judge: Judge, calls: Sequence[Call], votes: Sequence[int] | None = None
) -> list[dict[int, Reply]]:
    """The replies to each call, by number of vote; all calls at once."""

    async def one(call: Call) -> dict[int, Reply]:
        numbers = list(range(call.votes)) if votes is None else votes
        found = [pair async for pair in judge.judge(call.item, numbers)]
        assert sorted(vote for vote, _ in found) == sorted(numbers), "each vote once, no other"
        return dict(found)

    return await asyncio.gather(*(one(call) for call in calls))


def answers(
    judge: Judge, calls: Sequence[Call], votes: Sequence[int] | None = None
) -> list[dict[int, Reply]]:
    async def session() -> list[dict[int, Reply]]:
        try:
            return await ask(judge, calls, votes)
        finally:
            await judge.close()

    return asyncio.run(session())


def remote(server: Addressed, protocol: Protocol = GREEDY, **settings: Any) -> Judge:
    """The judge of conf/judge/openai.yaml; its times leave a busy machine some room."""
    given = {"base_url": server.url, "model": "m", "request_s": 60.0, **settings}
    return build("openai", protocol, **given)
