"""A judge whose answers are counted, for tests that kill the process that asks it.

With ``tests`` in PYTHONPATH: ``judge._target_=support.logged_judge.Logged``.
"""

import asyncio
from pathlib import Path

from r1reward.judge.base import Fault, Judge
from r1reward.judge.oracle import OracleJudge


class Logged(OracleJudge):
    """Writes a line for every answer into the file ``log``.

    Args:
        most: answers at most; after these it answers no more, so that a process that asks for more
            is there to be killed. None: no limit.
        broken: numbers of the rows that it does not answer but fails.
    """

    window = 4

    def __init__(self, protocol, media_root, accuracy, seed, log, most=None, broken=()):
        super().__init__(protocol, media_root, accuracy, seed)
        self._log, self._most, self._broken = Path(log), most, broken
        self._answered = 0

    async def judge(self, item, votes):
        for vote in votes:
            await asyncio.sleep(0)  # the others of the window go on
            if self._answered == self._most:
                await asyncio.Event().wait()  # for ever
            self._answered += 1
            with open(self._log, "a") as file:
                file.write(f"{item.uid} {item.label} {vote}\n")
            if item.index in self._broken:
                yield vote, Fault("server", f"row {item.index} has bad luck")
                continue
            async for reply in super().judge(item, [vote]):
                yield reply


class Looking(Logged):
    """Looks at the images: they must be there."""

    digest = Judge.digest
