"""The judgements a person can page through: texts, verdicts and small pictures, as plain data."""

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypedDict

from r1reward.core.pair import text_of
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.eval.score.ballots import Tally
from r1reward.judge.item import Item
from r1reward.judge.protocol import Call
from r1reward.pages.thumbnails import Pictures
from r1reward.store.answers import AnswerRow

FILTERS = {
    "": "all",
    "right": "right in every order",
    "wrong": "wrong in some order",
    "flipped": "flips with the order",
    "unparsed": "unreadable",
}


class Vote(TypedDict):
    """An answer: its text, and its choice, or the reason why it cannot be read."""

    text: str
    choice: int | None
    reason: str


class Prompt(TypedDict):
    """One order of an item: where the better response stood, and the votes of those asked."""

    better: int
    votes: list[Vote]
    asked: int


class JudgedItem(TypedDict):
    """An item and all that the judge said of it; the better response comes first."""

    index: int
    id: str
    facets: dict[str, str]
    question: str
    responses: list[str]
    prompts: list[Prompt]
    tags: list[str]
    images: list[str]


class Judgements(TypedDict):
    """Items for the browser, and their pictures by name."""

    items: list[JudgedItem]
    images: dict[str, dict[str, str]]


def sample(tallies: Iterable[Tally], most: int) -> set[int]:
    """Return the indices of ``most`` items, drawn by a hash of their uids: always the same."""
    drawn = heapq.nsmallest(
        most, ((hashlib.sha256(tally.uid.encode()).digest(), tally.index) for tally in tallies)
    )
    return {index for _, index in drawn}


def judgements(
    answers: Iterable[tuple[Call, Sequence[AnswerRow]]],
    chosen: set[int],
    media_root: Path,
    pixels: int,
) -> Judgements:
    """Return ``{"items": [...], "images": {name: ...}}`` for the items whose index was chosen.

    Args:
        answers: each prompt with what the judge said, the prompts of an item in a row.
        chosen: indices of items.
        media_root: folder of relative media paths.
        pixels: longest side of the pictures; the page carries them.
    """
    items: list[JudgedItem] = []
    pictures = Pictures(media_root, pixels)
    for index, prompts in groupby(answers, key=lambda answer: answer[0].item.index):
        if index not in chosen:
            continue
        asked = list(prompts)
        item = asked[0][0].item
        names = [name for media in item.all_media() for name in pictures.names(media)]
        items.append(_item(item, asked, names))
    return {"items": items, "images": pictures.found}


def _item(
    item: Item, asked: Sequence[tuple[Call, Sequence[AnswerRow]]], images: list[str]
) -> JudgedItem:
    prompts = [_prompt(call, rows) for call, rows in asked]
    better_first = item.shown(1)  # the prompts say where it stood
    return {
        "index": item.index,
        "id": item.id,
        "facets": {"group": item.groups.get("official", item.subgroup)},
        "question": text_of(item.question),
        "responses": [text_of(response) for response in better_first.responses],
        "prompts": prompts,
        "tags": list(_tags(prompts)),
        "images": images,
    }


def _prompt(call: Call, rows: Sequence[AnswerRow]) -> Prompt:
    votes: list[Vote] = []
    for row in rows:
        verdict = parse_verdict(row["text"])
        if isinstance(verdict, Verdict):
            votes.append({"text": row["text"], "choice": verdict.choice, "reason": ""})
        else:
            votes.append({"text": row["text"], "choice": None, "reason": verdict.reason})
    return {"better": call.item.label, "votes": votes, "asked": call.votes}


def _tags(prompts: Sequence[Prompt]) -> Iterator[str]:
    """Yield what a person filters by; a majority decides each order, as in the score."""
    leads = []
    for prompt in prompts:
        choices = [vote["choice"] for vote in prompt["votes"] if vote["choice"] is not None]
        right = sum(choice == prompt["better"] for choice in choices)
        leads.append(2 * right - len(choices))
    yield "right" if all(lead > 0 for lead in leads) else "wrong"
    if any(lead > 0 for lead in leads) and any(lead < 0 for lead in leads):
        yield "flipped"
    readable = (vote["choice"] is not None for prompt in prompts for vote in prompt["votes"])
    asked = sum(prompt["asked"] for prompt in prompts)
    if sum(readable) < asked:
        yield "unparsed"
