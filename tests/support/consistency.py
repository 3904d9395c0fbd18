"""Cases for a remote consistency check, and what it should make of them."""

import asyncio

from hydra.utils import instantiate
from omegaconf import OmegaConf

from r1reward.config.compose import REPO
from r1reward.consistency.base import Case


def build(*servers, **settings):
    """The check of conf/consistency/openai.yaml; its times leave a busy machine some room."""
    config = OmegaConf.load(REPO / "conf/consistency/openai.yaml")
    urls = [server.url for server in servers]
    given = {"request_s": 60.0, "deadline_s": 600.0, "concurrency": 16, "cache": None, "model": "m"}
    config.update({"base_url": urls[0] if len(urls) == 1 else urls, **given, **settings})
    return instantiate(config)


def cases(count, tag=""):
    """Reasonings and answers, every other one consistent."""
    return [
        Case(f"Case {tag}{i}: both have flaws.\nSo Response {i % 2 + 1} is better.", i // 2 % 2 + 1)
        for i in range(count)
    ]


def expected(asked):
    return [f"Response {case.answer} is better" in case.reasoning for case in asked]


def run(check, *batches):
    """Check every batch, the cases of one all at a time as the reward loop does."""

    async def session():
        found = []
        for batch in batches:
            found.append(await together(check, batch))
        await check.close()
        return found

    return asyncio.run(session())


async def together(check, batch):
    return [item for [item] in await asyncio.gather(*(check.check([case]) for case in batch))]


def verdicts(agreements):
    return [item.consistent for item in agreements]


def kinds(agreements):
    return {item.failure for item in agreements}
