"""Which benchmark prompts a prompt repeats: word for word, or nearly.

Word for word is after normalisation (r1reward.data.minhash). Near ones are found by MinHash with
banding and then compared by their shingles themselves. Shingles that benchmarks use with many
different images ("Describe this image in detail.", "... provide the correct option letter ...") say
nothing about where a prompt comes from, so they do not count: not in the similarity, and not in how
specific a match is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

from r1reward.data.minhash import PERMUTATIONS, normalise, shingles, signature

_PLACEHOLDER = re.compile("<(image|video)>")
# Bands and their values: of prompts with half of their shingles in common 99.6% are compared, of
# those with 0.4 94%.
_BANDS = (42, 3)


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
    """The prompts of benchmarks; some 8 kilobytes for each different one.

    Attributes:
        first: for each prompt, the number of the first that is the same, normalised.
    """

    def __init__(self, prompts: Sequence[str], shown: Sequence[str], common: int) -> None:
        """Index prompts.

        Args:
            prompts: texts; equal ones are one, with the number of the first.
            shown: names of what each is asked about.
            common: a shingle in prompts about more different things does not count.
        """
        self._numbers: dict[str, int] = {}
        about: dict[str, set[str]] = {}
        for number, (prompt, name) in enumerate(zip(prompts, shown, strict=True)):
            text = _text(prompt)
            self._numbers.setdefault(text, number)
            about.setdefault(text, set()).add(name)
        self.first = [self._numbers[_text(prompt)] for prompt in prompts]
        self._common = _common(about, common)
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
        return np.setdiff1d(shingles(text), self._common)


def _text(prompt: str) -> str:
    return normalise(_PLACEHOLDER.sub(" ", prompt))


def _common(about: dict[str, set[str]], most: int) -> NDArray[np.uint32]:
    """Return the shingles of prompts about more than ``most`` different things."""
    things: dict[int, set[str]] = {}
    for text, names in about.items():
        for shingle in set(shingles(text).tolist()):
            known = things.setdefault(shingle, set())
            if len(known) <= most:
                known |= names
    return np.array(sorted(s for s, names in things.items() if len(names) > most), np.uint32)


def _minhash(text: str) -> MinHash:
    return MinHash(PERMUTATIONS, hashvalues=signature(text), scheme="affine32")
