"""Match of a pair with benchmark items, by its images and by its prompt."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from r1reward.core.media import frames, locate, open_image
from r1reward.core.pair import Media, Pair, text_of
from r1reward.data.decontaminate.images import ImageIndex, ImageMatch
from r1reward.data.decontaminate.prompts import PromptIndex, PromptMatch
from r1reward.data.decontaminate.references import ITEMS, PICTURES

Reason = Literal["exact_image", "near_image", "exact_prompt", "near_prompt"]
REASONS: tuple[Reason, ...] = ("exact_image", "near_image", "exact_prompt", "near_prompt")

_KNOWN = 1 << 16  # prompts, and images, whose matches a process remembers; most have none
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Rules:
    """When a pair repeats a benchmark; `conf/decontaminate.yaml` says more.

    Attributes:
        drop: ``either``: an image, or a specific prompt; ``both``: both of one item.
        images: whether images are compared.
        image_similarity: of near images, at least.
        prompt_similarity: of near prompts, at least.
        specific_shingles: in common with a prompt that suffices without an image.
        common_images: phrases of prompts about more different images do not count.
    """

    drop: Literal["either", "both"]
    images: bool
    image_similarity: float
    prompt_similarity: float
    specific_shingles: int
    common_images: int


@dataclass(frozen=True, slots=True)
class Match:
    """Something of a pair that a benchmark has.

    Attributes:
        reason: what is the same.
        benchmark: whose.
        index: of an item that has it: its row in the benchmark's file, from 0.
        id: of this item.
        uri: the benchmark's image; None for prompts, and for images that are no files.
        similarity: 0 to 1.
    """

    reason: Reason
    benchmark: str
    index: int
    id: str
    uri: str | None
    similarity: float


@dataclass(frozen=True, slots=True)
class _Found:
    """A match, whether it suffices to drop a record, and the numbers of the items that have it."""

    reason: Reason
    uri: str | None
    similarity: float
    enough: bool
    items: frozenset[int]


class Screen:
    """Compares pairs with what :func:`index_references` wrote."""

    def __init__(self, folder: Path, rules: Rules) -> None:
        self._rules = rules
        self._items = json.loads((folder / ITEMS).read_text(encoding="utf-8"))
        pictures = json.loads((folder / PICTURES).read_text(encoding="utf-8"))
        self._pictures = [(picture["uri"], frozenset(picture["items"])) for picture in pictures]
        self._images = ImageIndex.load(folder)
        self._prompts = PromptIndex(
            [item["question"] for item in self._items],
            [item["shown"] for item in self._items],
            rules.common_images,
        )
        asking: dict[int, list[int]] = {}
        for number, prompt in enumerate(self._prompts.first):
            asking.setdefault(prompt, []).append(number)
        self._asking = {prompt: frozenset(items) for prompt, items in asking.items()}
        self._known_prompts: dict[bytes, list[PromptMatch]] = {}
        self._known_images: dict[bytes, list[ImageMatch]] = {}

    def specific(self) -> dict[str, int]:
        """Return how many items of each benchmark have a prompt that suffices without an image."""
        found = {item["benchmark"]: 0 for item in self._items}
        for item, prompt in zip(self._items, self._prompts.first, strict=True):
            enough = self._prompts.specific(prompt) >= self._rules.specific_shingles
            found[item["benchmark"]] += enough
        return found

    def matches(self, pair: Pair, root: Path | str) -> list[Match]:
        """Return why to drop a pair, the strongest reason first; nothing: keep it.

        There is one match, the most similar, for each reason and benchmark.

        Raises:
            ImageError: when an image or video of the pair cannot be used.
        """
        images = list(self._find_images(pair.all_media(), root)) if self._rules.images else []
        prompts = list(self._find_prompts(text_of(pair.question)))
        pictured = frozenset(item for found in images for item in found.items)
        asked = frozenset(item for found in prompts for item in found.items)
        return _best(self._named([*images, *prompts], pictured & asked))

    def _find_images(self, media: Iterable[Media], root: Path | str) -> Iterator[_Found]:
        for one in media:
            video = one.kind == "video"
            for uri in map(str, frames(one.uri, root)) if video else (one.uri,):
                for match in self._image_matches(uri, root):
                    name, items = self._pictures[match.image]
                    reason: Reason = "exact_image" if match.exact else "near_image"
                    yield _Found(reason, name, match.similarity, True, items)

    def _find_prompts(self, prompt: str) -> Iterator[_Found]:
        for match in self._prompt_matches(prompt):
            reason: Reason = "exact_prompt" if match.exact else "near_prompt"
            enough = match.specific >= self._rules.specific_shingles
            yield _Found(reason, None, match.similarity, enough, self._asking[match.prompt])

    def _image_matches(self, uri: str, root: Path | str) -> list[ImageMatch]:
        least = self._rules.image_similarity
        return _remembered(
            self._known_images,
            locate(uri, root),
            lambda: self._images.find(open_image(uri, root), least),
        )

    def _prompt_matches(self, prompt: str) -> list[PromptMatch]:
        least = self._rules.prompt_similarity
        return _remembered(self._known_prompts, prompt, lambda: self._prompts.find(prompt, least))

    def _named(self, matches: Iterable[_Found], both: frozenset[int]) -> Iterator[Match]:
        """Yield what drops a pair, for each benchmark, naming an item in ``both`` if there is."""
        for found in matches:
            alone = found.enough and self._rules.drop == "either"
            first: dict[str, int] = {}
            for number in sorted(found.items, key=lambda number: (number not in both, number)):
                if alone or number in both:
                    first.setdefault(self._items[number]["benchmark"], number)
            for benchmark, number in first.items():
                item = self._items[number]
                named = benchmark, item["index"], item["id"]
                yield Match(found.reason, *named, found.uri, round(found.similarity, 3))


@lru_cache(1)
def screen_of(folder: Path, rules: Rules) -> Screen:
    """Return the screen of this process, which reads the folder once."""
    return Screen(folder, rules)


def _best(matches: Iterable[Match]) -> list[Match]:
    best: dict[tuple[int, str], Match] = {}
    for match in matches:
        key = REASONS.index(match.reason), match.benchmark
        if key not in best or match.similarity > best[key].similarity:
            best[key] = match
    return [best[key] for key in sorted(best)]


def _remembered(known: dict[bytes, _T], name: str, find: Callable[[], _T]) -> _T:
    """Return what is known of ``name``; whatever came first is forgotten first."""
    key = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=16).digest()
    if key not in known:
        known[key] = find()
        if len(known) > _KNOWN:
            del known[next(iter(known))]
    return known[key]
