"""Attempts of an expert at every pair; their number is the difficulty.

Paper, section 4 ("progressive difficulty"): the whole response of the right attempt is cold-start
data for SFT; RL trains on what took two attempts or more, or was never solved.
"""

import asyncio
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from r1reward.core.errors import UserError
from r1reward.core.fields import PreferenceError
from r1reward.core.media import ImageError
from r1reward.core.pair import Preference
from r1reward.core.preferences import preference_or_error
from r1reward.core.rows import Row, RowError, scan_rows
from r1reward.core.text import valid_text
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.data.annotate.difficulty import Difficulty
from r1reward.data.shard_rows import shard_row
from r1reward.endpoint.fault import Fault
from r1reward.judge.base import Judge, TooManyFaultsError
from r1reward.judge.item import Item
from r1reward.judge.key import answer_key
from r1reward.judge.local import LocalJudge
from r1reward.judge.protocol import Protocol, ProtocolError
from r1reward.store.answers import AnswerRow, Journal

_MOST = 127  # attempts: the column is an 8-bit integer
_KEY = 32  # bytes of a journal key


class PresetError(UserError):
    """Settings of attempts that cannot be, with what to change."""


@dataclass(frozen=True)
class Preset:
    """How records are attempted: keys of conf/preset.

    Every attempt is sampled alike. A greedy first one would be right or wrong for certain, and
    the number of attempts would no longer follow from one probability of being right.
    """

    attempts: int
    seed: int
    temperature: float
    top_p: float
    repetition_penalty: float
    max_tokens: int

    def __post_init__(self) -> None:
        for key, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise PresetError(f"preset.{key}={value}: give a number")
        if not isinstance(self.attempts, int) or not 1 <= self.attempts <= _MOST:
            raise PresetError(f"preset.attempts={self.attempts}: give 1 to {_MOST}")

    def protocol(self) -> Protocol:
        """Return how one attempt is asked: in the stored order, which training shows as well.

        Raises:
            PresetError: for sampling that cannot be.
        """
        sampling = asdict(self)
        del sampling["attempts"]
        try:
            return Protocol(name="annotate", order="stored", parse="wrong", votes=1, **sampling)
        except ProtocolError as error:
            raise PresetError(str(error).replace("protocol.", "preset.")) from None

    def warnings(self, judge: Judge) -> Iterator[str]:
        """Yield what must be known before anything is asked."""
        if self.temperature > 0 or self.attempts == 1:
            return
        if isinstance(judge, LocalJudge):
            yield (
                "preset.temperature=0: a judge on this machine repeats itself, so that retries "
                "solve nothing; set preset.temperature=1.0, or preset.attempts=1"
            )
        else:
            yield (
                "preset.temperature=0: a retry differs only by what varies inside the endpoint; "
                "the table will say how many retries were mere repetitions"
            )


@dataclass
class Annotation:
    """Asks what the journal lacks, and annotates rows from it.

    In memory a row has 33 bytes beside what the journal needs to find its answers.

    Attributes:
        asked: answers of this session.
        reused: answers that were there already.
        done: rows that are through.
        faults: records that failed for good in this session.
        difficulty: the counts of all records.
    """

    source: Path
    judge: Judge
    preset: Preset
    journal: Journal
    limit: int | None
    max_failures: int
    asked: int = 0
    reused: int = 0
    done: float = 0
    faults: list[dict[str, str]] = field(default_factory=list)
    difficulty: Difficulty = field(default_factory=Difficulty)

    def __post_init__(self) -> None:
        # An engine that starts from the seed of an earlier session draws its numbers again, and
        # a retry could be the very answer that it retries.
        protocol = self.judge.protocol
        self.judge.protocol = replace(protocol, seed=protocol.seed + len(self.journal))
        self._attempts = array("b")  # of each row: > 0 solved, < 0 unsolved, 0 not known
        self._keys = bytearray()  # of each row: where the right answer is
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ask(self, tick: Callable[[], None]) -> None:
        """Attempt every record, with ``judge.window`` of them in flight.

        Raises:
            TooManyFaultsError: as soon as more than ``max_failures`` records failed.
            RowError: when the input cannot be read to its end.
        """
        running: set[asyncio.Task[None]] = set()
        try:
            for index, (where, row) in enumerate(self._scan()):
                preference = preference_or_error(where, row)
                self._attempts.append(0)
                self._keys += bytes(_KEY)
                if isinstance(preference, PreferenceError):
                    self.difficulty.rejected += 1
                    self.done += 1
                    continue
                running.add(asyncio.create_task(self._attempt(index, where, preference)))
                if len(running) >= self.judge.window:
                    running = await self._some(running, tick)
            while running:
                running = await self._some(running, tick)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self.judge.close()

    def rows(self, reject: Callable[[dict[str, str]], None]) -> Iterator[dict[str, Any]]:
        """Yield the annotated rows, in order; what is no record goes to ``reject`` instead.

        A record that failed has nulls: its difficulty is not known.
        """
        for index, (where, row) in enumerate(self._scan()):
            try:
                columns = _columns(where, row)
            except PreferenceError as error:
                reject({"where": where, "reason": "record", "detail": str(error), "uid": ""})
                continue
            attempts = self._attempts[index]
            yield columns | {
                "attempts": abs(attempts) or None,
                "solved": attempts > 0 if attempts else None,
                "reasoning": self._reasoning(index) if attempts > 0 else None,
            }

    def _scan(self) -> Iterator[tuple[str, Row | RowError]]:
        return islice(scan_rows(self.source), self.limit)

    async def _some(
        self, running: set[asyncio.Task[None]], tick: Callable[[], None]
    ) -> set[asyncio.Task[None]]:
        done, left = await asyncio.wait(
            running, timeout=1, return_when=asyncio.FIRST_COMPLETED
        )  # the timeout: a slow judge should still show that time passes
        for task in done:
            task.result()
        tick()
        if len(self.faults) > self.max_failures:
            raise TooManyFaultsError
        return left

    async def _attempt(self, index: int, where: str, preference: Preference) -> None:
        uid, source = preference.uid, preference.source
        place = {"index": index, "id": uid, "groups": {}, "subgroup": source, "cluster": uid}
        item = Item.of(preference, **place)
        try:
            digest = self.judge.digest(item)
        except ImageError as error:
            self._failed(item, where, Fault("media", str(error)))
            return
        # Equal records wait for each other, so that the second one finds the first one's answers.
        async with self._locks.setdefault(digest, asyncio.Lock()):
            await self._attempts_at(item, digest, where)

    async def _attempts_at(self, item: Item, digest: str, where: str) -> None:
        tally, before = self.difficulty.of(item.source), None
        for vote in range(self.preset.attempts):
            key = answer_key(digest, self.judge.protocol, self.judge.identity, vote)
            row = await self._answer(item, key, vote)
            if isinstance(row, Fault):
                self._failed(item, where, row)
                return
            verdict = parse_verdict(row["text"])
            self.difficulty.answer(tally, row, verdict, before)
            before = row["text"]
            if isinstance(verdict, Verdict) and verdict.choice == item.label:
                tally.solved[vote + 1] += 1
                tally.formatted += verdict.formatted
                self._attempts[item.index] = vote + 1
                place = item.index * _KEY
                self._keys[place : place + _KEY] = bytes.fromhex(key)
                break
        else:
            tally.unsolved += 1
            self._attempts[item.index] = -self.preset.attempts
        self.done += 1

    async def _answer(self, item: Item, key: str, vote: int) -> AnswerRow | Fault:
        """Return the journal's answer, asked for where it is missing."""
        if (found := self.journal.get(key)) is not None:
            self.reused += 1
            return found
        began, fault = time.monotonic(), Fault("nonsense", "the judge gave no reply")
        async for _, reply in self.judge.judge(item, [vote]):
            if isinstance(reply, Fault):
                fault = reply
                continue
            seconds = round(time.monotonic() - began, 3)
            where = {"index": item.index, "id": item.id, "label": item.label, "vote": vote}
            row = {**where, **asdict(reply), "seconds": seconds}
            self.journal.answer(key, row.pop("text"), **row)
            self.asked += 1
        return self.journal.get(key) or fault

    def _failed(self, item: Item, where: str, fault: Fault) -> None:
        row = {"where": where, "reason": fault.kind, "detail": fault.detail, "uid": item.id}
        self.faults.append(row)
        self.journal.fault(**row)
        self.difficulty.of(item.source).failed += 1
        self.done += 1

    def _reasoning(self, index: int) -> str:
        row = self.journal.get(self._keys[index * _KEY : (index + 1) * _KEY].hex())
        assert row is not None
        return valid_text(row["text"])


def _columns(where: str, row: Row | RowError) -> dict[str, Any]:
    """Return the columns of a row that an annotation does not change."""
    _, columns = shard_row(where, row)
    origin = None if isinstance(row, RowError) else row.get("origin")
    return columns | {"origin": None if origin is None else valid_text(str(origin))}
