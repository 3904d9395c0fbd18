"""The judgements a person can page through: texts, verdicts and small pictures, as plain data."""

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from r1reward.core.pair import text_of
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.eval.score.ballots import Tally
from r1reward.judge.item import Item
from r1reward.judge.protocol import Call
from r1reward.pages.thumbnails import Pictures

# One answer of the journal, or None where none came.
Row = Mapping[str, Any]
FILTERS = {
    "": "all",
    "right": "right in every order",
    "wrong": "wrong in some order",
    "flipped": "flips with the order",
    "unparsed": "unreadable",
}


def sample(tallies: Iterable[Tally], most: int) -> set[int]:
    """Return the indices of ``most`` items, drawn by a hash of their uids: always the same."""
    drawn = heapq.nsmallest(
        most, ((hashlib.sha256(tally.uid.encode()).digest(), tally.index) for tally in tallies)
    )
    return {index for _, index in drawn}


def judgements(
    answers: Iterable[tuple[Call, Sequence[Row]]],
    chosen: set[int],
    media_root: Path,
    pixels: int,
) -> dict[str, Any]:
    """Return ``{"items": [...], "images": {name: ...}}`` for the items whose index was chosen.

    Args:
        answers: each prompt with what the judge said, the prompts of an item in a row.
        chosen: indices of items.
        media_root: folder of relative media paths.
        pixels: longest side of the pictures; the page carries them.
    """
    items: list[dict[str, Any]] = []
    pictures = Pictures(media_root, pixels)
    for index, prompts in groupby(answers, key=lambda answer: answer[0].item.index):
        if index not in chosen:
            continue
        asked = list(prompts)
        item = asked[0][0].item
        names = [name for media in item.all_media() for name in pictures.names(media)]
        items.append(_item(item, asked) | {"images": names})
    return {"items": items, "images": pictures.found}


def _item(item: Item, asked: Sequence[tuple[Call, Sequence[Row]]]) -> dict[str, Any]:
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
    }


def _prompt(call: Call, rows: Sequence[Row]) -> dict[str, Any]:
    votes = []
    for row in rows:
        verdict = parse_verdict(row["text"])
        read = isinstance(verdict, Verdict)
        votes.append(
            {
                "text": row["text"],
                "choice": verdict.choice if isinstance(verdict, Verdict) else None,
                "reason": "" if read else verdict.reason,  # type: ignore[union-attr]
            }
        )
    return {"better": call.item.label, "votes": votes, "asked": call.votes}


def _tags(prompts: Sequence[dict[str, Any]]) -> Iterator[str]:
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
