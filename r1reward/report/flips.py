"""Validation pairs that the first and the last model judge differently, to be read side by side."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from omegaconf import DictConfig

from r1reward.core.fields import PreferenceError
from r1reward.core.pair import Preference, text_of
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.pages.thumbnails import Pictures
from r1reward.run.validation_pairs import MEDIA, find, media_root, sample

GAINED, LOST = "gained", "lost"
_MOST = 40  # pairs shown that were gained, and as many that were lost
_CHARACTERS = 6000  # of a text
_PIXELS = 320

Row = dict[str, object]


class Answer(TypedDict, total=False):
    """A row of the trainer's dump: an answer, the record that it judges, and 1 where it is right.

    Rows of other trainers name no record.
    """

    record_uid: str
    output: str
    acc: float


@dataclass(slots=True)
class Changes:
    """What changed between two validations.

    Attributes:
        first: step of the earlier one.
        last: step of the later one.
        counts: (right before, right after) -> pairs.
        items: pairs to read, for the browser.
        images: their pictures, by name.
        missing: why there are no items, in words; empty when there are.
    """

    first: int
    last: int
    counts: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    items: list[Row] = field(default_factory=list)
    images: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: str = ""


def changes(dumps: Path, steps: list[int], data: DictConfig) -> Changes | None:
    """Compare the answers of the first and the last validation, pair by pair.

    Memory grows by a few bytes a pair: texts are read again for the pairs that are shown.

    Args:
        dumps: folder of ``<step>.jsonl``, as the trainer writes them.
        steps: of the validations that led to the weights, in order.
        data: the ``data`` node of the configuration: ``val_files`` and ``media_root``.

    Returns:
        None when there are not two validations whose answers name their pairs.
    """
    there = [step for step in steps if (dumps / f"{step}.jsonl").is_file()]
    if len(there) < 2:
        return None
    found = Changes(there[0], there[-1])
    before = {uid: row["acc"] == 1 for uid, row in _answers(dumps, found.first)}
    changed: dict[str, list[str]] = {GAINED: [], LOST: []}
    for uid, row in _answers(dumps, found.last):
        if uid in before:
            was, now = before[uid], row["acc"] == 1
            found.counts[was, now] += 1
            if was != now:
                changed[GAINED if now else LOST].append(uid)
    if not found.counts:
        return None
    chosen = {uid: kind for kind, uids in changed.items() for uid in sample(uids, _MOST)}
    try:
        _show(found, dumps, chosen, data)
    except (PreferenceError, OSError) as error:
        found.items, found.missing = [], str(error)
    return found


def _answers(dumps: Path, step: int) -> Iterator[tuple[str, Answer]]:
    """Yield the first answer to each pair of a validation."""
    seen = set()
    with open(dumps / f"{step}.jsonl", encoding="utf-8") as file:
        for line in file:
            try:
                row: Answer = json.loads(line)
            except ValueError:  # torn by a kill
                continue
            uid = row.get("record_uid")
            if uid and uid not in seen:
                seen.add(uid)
                yield uid, row


def _show(found: Changes, dumps: Path, chosen: dict[str, str], data: DictConfig) -> None:
    texts = [
        {uid: row["output"] for uid, row in _answers(dumps, step) if uid in chosen}
        for step in (found.first, found.last)
    ]
    pictures = Pictures(media_root(data), _PIXELS)
    for where, pair in find(data, chosen):
        votes = [_vote(text[pair.uid], pair.label) for text in texts]
        found.items.append(_item(where, pair, chosen[pair.uid], votes, pictures))
    found.images = pictures.found
    if chosen and not found.items:
        found.missing = f"none of the pairs is in {data.val_files} any more"


def _item(where: str, pair: Preference, kind: str, votes: list[Row], pictures: Pictures) -> Row:
    shown = pair.all_media()
    names = [name for media in shown[:MEDIA] for name in pictures.names(media)]
    return {
        "where": where.rpartition("/")[2],
        "uid": pair.uid,
        "question": _cut(text_of(pair.question)),
        "responses": [_cut(text_of(response)) for response in pair.responses],
        "label": pair.label,
        "votes": votes,
        "images": names,
        "hidden": max(0, len(shown) - MEDIA),
        "tags": [kind],
        "facets": {"source": pair.source},
    }


def _vote(text: str, label: int) -> Row:
    verdict = parse_verdict(text)
    if isinstance(verdict, Verdict):
        words = verdict.reasoning or text
        return {"choice": verdict.choice, "right": verdict.choice == label, "text": _cut(words)}
    return {"choice": None, "right": False, "text": _cut(text), "reason": verdict.reason}


def _cut(text: str) -> str:
    more = len(text) - _CHARACTERS
    return text if more <= 0 else f"{text[:_CHARACTERS]} … ({more:,} more characters)"
