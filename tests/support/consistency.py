"""Cases for a remote consistency check, and what it should make of them."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from hydra.utils import instantiate
from omegaconf import OmegaConf

from r1reward.config.compose import REPO
from r1reward.consistency.base import Agreement, Case
from r1reward.consistency.openai import OpenAICheck
from r1reward.endpoint.fault import FaultKind


class Addressed(Protocol):
    """Has an address."""

    @property
    def url(self) -> str: ...


def build(*servers: Addressed, **settings: Any) -> OpenAICheck:
    """The check of conf/consistency/openai.yaml; its times leave a busy machine some room."""
    config = OmegaConf.load(REPO / "conf/consistency/openai.yaml")
    urls = [server.url for server in servers]
    given = {"request_s": 60.0, "deadline_s": 600.0, "concurrency": 16, "cache": None, "model": "m"}
    config.update({"base_url": urls[0] if len(urls) == 1 else urls, **given, **settings})
    check: OpenAICheck = instantiate(config)
    return check


def cases(count: int, tag: str = "") -> list[Case]:
    """Reasonings and answers, every other one consistent."""
    return [
        Case(f"Case {tag}{i}: both have flaws.\nSo Response {i % 2 + 1} is better.", answer)
        for i in range(count)
        for answer in ((1, 2)[i // 2 % 2],)
    ]


def expected(asked: Sequence[Case]) -> list[bool]:
    return [f"Response {case.answer} is better" in case.reasoning for case in asked]


def run(check: OpenAICheck, *batches: Sequence[Case]) -> list[list[Agreement]]:
    """Check every batch, the cases of one all at a time as the reward loop does."""

    async def session() -> list[list[Agreement]]:
        found = []
        for batch in batches:
            found.append(await together(check, batch))
        await check.close()
        return found

    return asyncio.run(session())


async def together(check: OpenAICheck, batch: Sequence[Case]) -> list[Agreement]:
    return [item for [item] in await asyncio.gather(*(check.check([case]) for case in batch))]


def verdicts(agreements: Sequence[Agreement]) -> list[bool | None]:
    return [item.consistent for item in agreements]


def kinds(agreements: Sequence[Agreement]) -> set[FaultKind | None]:
    return {item.failure for item in agreements}
