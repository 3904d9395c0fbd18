"""A judge whose answers are counted, for tests that kill the process that asks it.

With ``tests`` in PYTHONPATH: ``judge._target_=support.logged_judge.Logged``.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

from r1reward.core.pair import Pair
from r1reward.endpoint.fault import Fault
from r1reward.judge.base import Judge, Reply
from r1reward.judge.item import Item
from r1reward.judge.oracle import OracleJudge
from r1reward.judge.protocol import Protocol


class Logged(OracleJudge):
    """Writes a line for every answer into the file ``log``.

    Args:
        most: answers at most; after these it answers no more, so that a process that asks for more
            is there to be killed. None: no limit.
        broken: numbers of the rows that it does not answer but fails.
    """

    window = 4

    def __init__(
        self,
        protocol: Protocol,
        media_root: Path | str,
        accuracy: float,
        seed: int,
        log: str,
        most: int | None = None,
        broken: Collection[int] = (),
    ) -> None:
        super().__init__(protocol, media_root, accuracy, seed)
        self._log, self._most, self._broken = Path(log), most, broken
        self._answered = 0

    async def judge(self, pair: Pair, votes: Sequence[int]) -> AsyncIterator[tuple[int, Reply]]:
        assert isinstance(pair, Item)
        for vote in votes:
            await asyncio.sleep(0)  # the others of the window go on
            if self._answered == self._most:
                await asyncio.Event().wait()  # for ever
            self._answered += 1
            with open(self._log, "a") as file:
                file.write(f"{pair.uid} {pair.label} {vote}\n")
            if pair.index in self._broken:
                yield vote, Fault("server", f"row {pair.index} has bad luck")
                continue
            async for reply in super().judge(pair, [vote]):
                yield reply


class Looking(Logged):
    """Looks at the images: they must be there."""

    digest = Judge.digest
