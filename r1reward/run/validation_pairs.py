"""Validation pairs for people to read: found by their uid, the same few at every validation."""

import hashlib
import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from r1reward.core.pair import Preference, text_of
from r1reward.core.preferences import scan_preferences
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.pages.thumbnails import strip
from r1reward.store.shards import media_folder

COLUMNS = (
    *("record", "image", "question", "response 1", "response 2", "better", "choice", "right"),
    *("reasoning", "reward", "format", "consistency", "check failure"),
)
MEDIA = 4  # images or videos of a pair that are shown
_PIXELS = 160


def sample(uids: Iterable[str], most: int) -> list[str]:
    """Return ``most`` of ``uids``, drawn by a hash of each: always the same."""
    return heapq.nsmallest(most, uids, key=lambda uid: hashlib.sha256(uid.encode()).digest())


def find(data: Any, uids: Collection[str]) -> Iterator[tuple[str, Preference]]:
    """Yield ``<file>:<row>`` and the preference of each of ``uids``, in the order of the files.

    Args:
        data: the ``data`` node of a configuration: ``val_files``.
        uids: of preferences.

    Raises:
        PreferenceError: for a file that cannot be read.
    """
    left = set(uids)
    for where, pair in (row for file in _files(data) for row in scan_preferences(file)):
        if not left:
            return
        if isinstance(pair, Preference) and pair.uid in left:
            left.remove(pair.uid)
            yield where, pair


def media_root(data: Any) -> Path:
    """Return the folder that relative media paths of the validation files start from."""
    return media_folder(Path(_files(data)[0]), data.media_root)


class PairTable:
    """Rows of :data:`COLUMNS`: what a model says of the same few pairs, time after time."""

    def __init__(self, data: Any, most: int) -> None:
        """Begin without a pair; the first answers say which pairs there are.

        Args:
            data: the ``data`` node of a configuration: ``val_files`` and ``media_root``.
            most: rows of the table.
        """
        self._data, self._most = data, most
        self._pairs: list[tuple[Preference, list[Any]]] | None = None

    def rows(self, answers: Mapping[str, tuple[str, Mapping[str, object]]]) -> list[list[Any]]:
        """Return the table of one validation; cells are texts, numbers and images.

        Args:
            answers: uid of a preference -> what the model said, and the parts of its reward.

        Raises:
            PreferenceError: for a validation file that cannot be read any more.
        """
        if self._pairs is None:
            chosen = sample(answers, self._most)
            self._pairs = [self._shown(pair) for _, pair in find(self._data, chosen)]
        return [
            [*cells, *_checked(pair, *answers[pair.uid])]
            for pair, cells in self._pairs
            if pair.uid in answers
        ]

    def _shown(self, pair: Preference) -> tuple[Preference, list[Any]]:
        image = strip(pair.all_media()[:MEDIA], media_root(self._data), _PIXELS)
        texts = map(text_of, (pair.question, *pair.responses))
        return pair, [pair.uid, image, *texts, pair.label]


def _checked(pair: Preference, text: str, parts: Mapping[str, object]) -> list[Any]:
    verdict, choice, reasoning = parse_verdict(text), None, text
    if isinstance(verdict, Verdict):
        choice, reasoning = verdict.choice, verdict.reasoning or text
    return [
        *(choice, choice == pair.label, reasoning),
        *(parts["final"], parts["format"], parts["consistency"], parts["consistency_failure_kind"]),
    ]


def _files(data: Any) -> list[str]:
    return [data.val_files] if isinstance(data.val_files, str) else list(data.val_files)
