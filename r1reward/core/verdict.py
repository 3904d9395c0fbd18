"""Parsing of a response: text -> :class:`Verdict`, or a counted :class:`ParseFailure`.

The one parser of training, evaluation and serving. A response that cannot be read never becomes
a choice: not a guess, not a default, not a vote.
"""

import re
from dataclasses import dataclass
from typing import Literal

# Whitespace between the two parts is allowed: the released expression forbids it, so that an
# untuned Qwen2.5-VL, which writes a newline there, could never earn the format reward.
_FORMATTED = re.compile(r"\s*<think>.*?</think>\s*<answer>\s*[12]\s*</answer>\s*", re.DOTALL)
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A readable decision: ``choice`` is the better response.

    ``formatted`` says whether the whole text is one ``<think>`` part followed by one ``<answer>``
    part and nothing else. Without that, ``reasoning`` is whatever stands before the answer.
    """

    choice: Literal[1, 2]
    reasoning: str
    formatted: bool


@dataclass(frozen=True, slots=True)
class ParseFailure:
    """No readable decision.

    ``reason`` is ``empty``, ``no_answer`` (no closed ``<answer>`` part, such as a response cut at
    the token limit), ``not_a_choice`` (something else than 1 or 2 in it) or ``several_answers``.
    """

    reason: str
    text: str


def parse_verdict(text: str) -> Verdict | ParseFailure:
    """Return what ``text``, one whole response, decided (paper, Table 1: the output format)."""
    if not text.strip():
        return ParseFailure("empty", text)
    # Not an expression: its search for an answer that never closes is quadratic.
    before, _, rest = text.partition("<answer>")
    answer, closed, rest = rest.partition("</answer>")
    if not closed:
        return ParseFailure("no_answer", text)
    if "</answer>" in rest.partition("<answer>")[2]:
        return ParseFailure("several_answers", text)
    choice = answer.strip()
    if choice not in ("1", "2"):
        return ParseFailure("not_a_choice", text)
    formatted = all(text.count(tag) == 1 for tag in _TAGS) and bool(_FORMATTED.fullmatch(text))
    reasoning = before.replace("<think>", "").replace("</think>", "").strip()
    return Verdict(1 if choice == "1" else 2, reasoning, formatted)
