"""Ask loop of an evaluation: a judge answers what the journal lacks."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice

from r1reward.core.media import ImageError
from r1reward.core.verdict import parse_verdict
from r1reward.endpoint.fault import Fault
from r1reward.eval.benchmarks.base import Benchmark
from r1reward.eval.score.ballots import Ballot, Count, count
from r1reward.eval.score.results import FaultRow
from r1reward.judge.base import Judge, TooManyFaultsError
from r1reward.judge.item import Item
from r1reward.judge.key import answer_key
from r1reward.judge.protocol import Call, Protocol
from r1reward.store.answers import USAGE, AnswerRow, Journal


@dataclass
class Evaluation:
    """Asks what the journal lacks, and reads the score from the journal.

    Attributes:
        asked: answers of this session.
        reused: answers that were there already.
        done: items answered, or failed.
        faults: what failed for good in this session, a row for each prompt.
    """

    benchmark: Benchmark
    judge: Judge
    protocol: Protocol
    journal: Journal
    limit: int | None
    max_failures: int
    asked: int = 0
    reused: int = 0
    done: float = 0
    faults: list[FaultRow] = field(default_factory=list)

    def items(self) -> Iterator[Item]:
        """Yield the items to judge; none is kept."""
        return islice(self.benchmark.load(), self.limit)

    async def ask(self, tick: Callable[[], None]) -> None:
        """Ask everything that is missing, with ``judge.window`` prompts in flight.

        An engine that starts from the seed of an earlier session draws its numbers again, and a
        vote that is asked only now would repeat an older one: every session has its own.

        Raises:
            TooManyFaultsError: as soon as more than ``max_failures`` prompts failed.
        """
        seed = self.protocol.seed + len(self.journal)
        self.judge.protocol = replace(self.protocol, seed=seed)
        calls = self._calls()
        # Workers that share an iterator, not a task for each prompt: to wait for a set of tasks
        # costs time for every one of them, each time.
        workers = {asyncio.create_task(self._work(calls, tick)) for _ in range(self.judge.window)}
        running = workers
        try:
            while running:
                done, running = await asyncio.wait(
                    running, timeout=1, return_when=asyncio.FIRST_EXCEPTION
                )  # the timeout: a slow judge should still show that time passes
                for task in done:
                    task.result()
                tick()
        finally:
            for task in workers:
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await self.judge.close()

    def count(self, usage: dict[str, float]) -> Count:
        """Return the counted votes of the journal; adds to ``usage`` what they took."""
        return count(self._ballots(usage), self.protocol)

    def answers(self) -> Iterator[tuple[Call, list[AnswerRow]]]:
        """Yield each prompt and the journal's answers to it; the prompts of an item in a row."""
        for item in self.items():
            for call in self.protocol.calls(item):
                try:
                    rows = [self.journal.get(key) for key in self._keys(call)]
                except ImageError:
                    rows = []
                yield call, [row for row in rows if row is not None]

    def _calls(self) -> Iterator[tuple[Call, float]]:
        """Yield each prompt and its share of its item."""
        for item in self.items():
            calls = self.protocol.calls(item)
            for call in calls:
                yield call, 1 / len(calls)

    async def _work(self, calls: Iterator[tuple[Call, float]], tick: Callable[[], None]) -> None:
        for call, share in calls:
            await self._ask(call, share)
            tick()
            if len(self.faults) > self.max_failures:
                raise TooManyFaultsError
            await asyncio.sleep(0)  # what the journal has never waits, and would keep others out

    async def _ask(self, call: Call, share: float) -> None:
        try:
            keys = self._keys(call)
        except ImageError as error:
            self._failed(call, Fault("media", str(error)))
            self.done += share
            return
        missing = [vote for vote, key in enumerate(keys) if key not in self.journal]
        self.reused += len(keys) - len(missing)
        fault, began = None, time.monotonic()
        where = {"index": call.item.index, "id": call.item.id, "label": call.item.label}
        if missing:
            async for vote, reply in self.judge.judge(call.item, missing):
                if isinstance(reply, Fault):
                    fault = reply
                    continue
                seconds = round(time.monotonic() - began, 3)
                row = {**where, "vote": vote, **asdict(reply), "seconds": seconds}
                self.journal.answer(keys[vote], row.pop("text"), **row)
                self.asked += 1
        if fault is not None:
            self._failed(call, fault)
        self.done += share

    def _keys(self, call: Call) -> list[str]:
        digest = self.judge.digest(call.item)
        return [
            answer_key(digest, self.protocol, self.judge.identity, vote)
            for vote in range(call.votes)
        ]

    def _failed(self, call: Call, fault: Fault) -> None:
        item = call.item
        row = FaultRow(
            index=item.index, id=item.id, label=item.label, kind=fault.kind, detail=fault.detail
        )
        self.faults.append(row)
        self.journal.fault(**row)

    def _ballots(self, usage: dict[str, float]) -> Iterator[Ballot]:
        for call, rows in self.answers():
            for row in rows:
                for key in USAGE:
                    usage[key] = usage.get(key, 0) + row[key]
            yield Ballot(call.item, tuple(parse_verdict(row["text"]) for row in rows))
