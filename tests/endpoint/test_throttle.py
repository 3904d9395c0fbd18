"""How many requests an endpoint gets at once."""

import asyncio

from r1reward.endpoint.throttle import Throttle


def test_a_throttle_halves_once_a_round_and_grows_by_one_a_round() -> None:
    async def session():
        throttle, seen = Throttle(20), []

        async def one(bad):
            async with throttle.slot() as slot:
                await asyncio.sleep(0)
                if bad:
                    slot.overloaded()

        for bad in [True, True, True, True, True, False, False]:
            await asyncio.gather(*(one(bad) for _ in range(throttle.limit)))
            seen.append(throttle.limit)
        for _ in range(500):
            await one(False)
        return seen, throttle.limit

    seen, most = asyncio.run(session())
    assert seen == [8, 4, 2, 1, 1, 2, 2]  # 1 + 1/1, then 2 + 1/2 + 1/2.5 = 2.9
    assert most == 20


def test_a_throttle_doubles_each_round_until_the_first_overload() -> None:
    async def session():
        throttle, seen = Throttle(100), []

        async def one(bad):
            async with throttle.slot() as slot:
                await asyncio.sleep(0)
                if bad:
                    slot.overloaded()

        for bad in [False, False, False, True, False]:
            await asyncio.gather(*(one(bad) for _ in range(throttle.limit)))
            seen.append(throttle.limit)
        return seen

    assert asyncio.run(session()) == [32, 64, 100, 50, 50]  # 50 + 1/50 + 1/50.02 ... < 51
