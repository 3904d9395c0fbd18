"""Search for benchmark prompts that a prompt repeats, word for word or nearly.

Word for word is after normalisation (r1reward.data.minhash). Near ones are found by MinHash with
banding and then compared by their shingles themselves. Phrases of 20 characters that benchmarks use
with many different images ("Describe this image in detail.", "... provide the correct option ...")
say nothing about where a prompt comes from, so their shingles do not count: not in the similarity,
and not in how specific a match is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

from r1reward.data.minhash import PERMUTATIONS, SHINGLE, normalise, shingles, signature

_PLACEHOLDER = re.compile("<(image|video)>")
# Bands and their values: of prompts with half of their shingles in common 99.6% are compared, of
# those with 0.4 94%.
_BANDS = (42, 3)
_PHRASE = 20  # characters: a multiple of those of a shingle
_BASE = 0x9E3779B97F4A7C15  # odd; of the polynomial whose values are the hashes of phrases


@dataclass(frozen=True, slots=True)
class PromptMatch:
    """A benchmark prompt that is repeated.

    Attributes:
        prompt: number of the first such prompt.
        similarity: Jaccard similarity of the shingles that count; 1 for an exact one.
        exact: whether they are the same, normalised.
        specific: shingles in common that count: about as many characters.
    """

    prompt: int
    similarity: float
    exact: bool
    specific: int


class PromptIndex:
    """The prompts of benchmarks; a few kilobytes for each different one.

    Attributes:
        first: for each prompt, the number of the first that is the same, normalised.
    """

    def __init__(self, prompts: Sequence[str], shown: Sequence[str], common: int) -> None:
        """Index prompts.

        Args:
            prompts: texts; equal ones are one, with the number of the first.
            shown: names of what each is asked about.
            common: a phrase in prompts about more different things does not count.
        """
        self._numbers: dict[str, int] = {}
        about: dict[str, set[str]] = {}
        for number, (prompt, name) in enumerate(zip(prompts, shown, strict=True)):
            text = _text(prompt)
            self._numbers.setdefault(text, number)
            about.setdefault(text, set()).add(name)
        self.first = [self._numbers[_text(prompt)] for prompt in prompts]
        self._common = _common_phrases(about, common)
        self._own = {number: self._counting(text) for text, number in self._numbers.items()}
        self._bands = MinHashLSH(num_perm=PERMUTATIONS, params=_BANDS)
        for text, number in self._numbers.items():
            self._bands.insert(number, _minhash(text))

    def find(self, prompt: str, least: float) -> list[PromptMatch]:
        """Return the benchmark prompts that ``prompt`` repeats, the most similar first.

        Args:
            prompt: any text.
            least: similarity of a near one, at least.
        """
        text = _text(prompt)
        if (same := self._numbers.get(text)) is not None:
            return [PromptMatch(same, 1.0, True, len(self._own[same]))]
        found, counting = [], None
        for number in self._bands.query(_minhash(text)):
            counting = self._counting(text) if counting is None else counting
            own = self._own[number]
            shared = len(np.intersect1d(own, counting, assume_unique=True))
            similarity = shared / max(1, len(own) + len(counting) - shared)
            if similarity >= least:
                found.append(PromptMatch(number, similarity, False, shared))
        return sorted(found, key=lambda match: (-match.similarity, match.prompt))

    def specific(self, prompt: int) -> int:
        """Return how many shingles of a benchmark prompt count."""
        return len(self._own[prompt])

    def _counting(self, text: str) -> NDArray[np.uint32]:
        """Return the shingles that count, each once, sorted."""
        found = shingles(text)
        counts = np.ones(len(found), bool)
        begins = np.flatnonzero(np.isin(_phrases(found), self._common))
        for place in range(_PHRASE - SHINGLE + 1):
            counts[begins + place] = False
        return np.unique(found[counts])


def _text(prompt: str) -> str:
    return normalise(_PLACEHOLDER.sub(" ", prompt))


def _phrases(found: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return a hash of every phrase of a text, from its shingles in order."""
    count = max(0, len(found) - (_PHRASE - SHINGLE))
    values = np.zeros(count, np.uint64)
    for place in range(0, _PHRASE, SHINGLE):
        values = (values + found[place : place + count]) * np.uint64(_BASE)
    return values


def _common_phrases(about: dict[str, set[str]], most: int) -> NDArray[np.uint64]:
    """Return the phrases of prompts about more than ``most`` different things."""
    things: dict[int, set[str]] = {}
    for text, names in about.items():
        for phrase in set(_phrases(shingles(text)).tolist()):
            known = things.setdefault(phrase, set())
            if len(known) <= most:
                known |= names
    return np.array([phrase for phrase, names in things.items() if len(names) > most], np.uint64)


def _minhash(text: str) -> MinHash:
    return MinHash(PERMUTATIONS, hashvalues=signature(text), scheme="affine32")
