"""Deterministic check by rules: the response that the reasoning concludes is better."""

import re
from collections.abc import Sequence
from typing import Literal

from r1reward.consistency.base import Agreement, Case

# 1. Write every mention of a response as @1 or @2; as #1 or #2 where it is what the other one is
#    compared with ("better than Response 1"); and of both at once as @@.
_RESPONSE = r"(?:response|answer|option|choice|candidate|assistant|model)"
_NORMALISE = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"n['’]t\b", " not"),
        (r"['’]s\b|[*_`~\"'“”‘’]|\bnot (?:only|just)\b", ""),
        (rf"\b{_RESPONSE}s? *[#(\[]? ?([12])\b[)\]]?", r"@\1"),
        (rf"\b(?:{_RESPONSE} one|(?:first|1st) {_RESPONSE}|the (?:former|first one))\b", "@1"),
        (rf"\b(?:{_RESPONSE} two|(?:second|2nd) {_RESPONSE}|the (?:latter|second one))\b", "@2"),
        (r"(^|,|\band|\bso|\bthus|\btherefore) *([12]) (?=is\b|wins\b)", r"\1 @\2 "),
        (r"@1 ?(?:and|or|nor|&|/) ?@?2\b|@2 ?(?:and|or|nor|&|/) ?@?1\b", "@@"),
        (
            r"(\b(?:than|over|against|unlike|outperforms|surpasses|beats)"
            r"|\b(?:compar\w+|relative|superior|inferior|preferable) (?:to|with)) @([12])",
            r"\1 #\2",
        ),
    ]
]

# 2. Words that rank, and how: strong ones conclude, weak ones compare one quality.
_GOOD = (
    "accura|precise|correct|detail|complete|comprehensive|thorough|helpful|informative|reliable|"
    "relevant|truthful|factual|faithful|useful|appropriate|aligned|consistent|concise|clear|"
    "coherent|specific|effective|suitable|grounded|convincing"
)
_BAD = "error|mistakes|hallucinat|inaccura|inconsisten|irrelevan|misleading|vague|verbose"
_STRONG = (
    r"(?:(?:better|best|superior|prefer(?:able|red)|stronger|outperforms|surpasses|beats|"
    r"win(?:s|ner)|favou?red|chosen)|(?P<down>worse|worst|inferior|weaker|underperforms|loses))\b"
)
_WEAK = (
    rf"(?:(?:(?:more|most) (?:\w+ly )?(?:{_GOOD})|(?:less|fewer|fewest|least) (?:{_BAD}))|"
    rf"(?P<down>(?:less|least) (?:{_GOOD})|more (?:{_BAD})))"
)
_NOT = r"(?P<no>\b(?:not|no|never|cannot) (?:\w+ ){0,2}?)?"
_CHOOSE = r"\b(?:prefer|choose|select|pick|favou?r|recommend|vote for|go with|opt for|side with)"

# 3. The first pattern that matches a clause reads it. `one` is the response it speaks of, `other`
#    the one it is compared with; `down` ranks it lower, `no` negates.
_PATTERNS = [
    re.compile(pattern)
    for pattern in [
        r"(?P<tie>\b(?:neither|either @@|equal(?:ly)?|tied?|no (?:clear )?winner|both better)\b)"
        r"(?!.*@[12])",
        r"\bneither\b(?P<tie>)",
        r"(?:^|\bfinal |\bmy )(?:answer|choice|verdict|decision|output) ?(?:is|:|=) ?"
        r"@?(?P<one>[12])\b",
        r"\b(?:answer|choice|verdict|decision|winner) ?(?:is|:) ?@(?P<one>[12])\b",
        _NOT + _CHOOSE + r"s?(?: \w+){0,4} @?(?P<one>[12])\b",
        rf"\b{_STRONG} (?:{_RESPONSE}|one|of the \w+)(?: \w+){{0,3}}? (?:is|be)(?: \w+)? ?:? *"
        r"(?P<no>not )?@?(?P<one>[12])\b",
        rf"@(?P<one>[12])\b[^@]*?{_NOT}\b{_STRONG}",
        rf"{_NOT}\b{_STRONG}(?: \w+){{0,3}} #(?P<other>[12])\b",
        rf"@(?P<one>[12])\b[^@]*?{_NOT}\b{_WEAK}",
        rf"{_NOT}\b{_WEAK}\w*(?: \w+){{0,3}} #(?P<other>[12])\b",
        r"@(?P<one>[12]) (?:is )?(?P<no>not )as \w+ as #?@?[12]\b",
        r"@(?P<one>[12]) (?:over|rather than) [#@][12]\b",
        rf"(?P<tie>@@.*{_STRONG}|\bboth\b.*\bbetter\b)",
    ]
]

_TAIL = 2000  # characters: conclusions come last, and a bounded text takes a bounded time
_CLAUSE_END = re.compile(r"(?<=[.!?])\s+|[\n;]+|\bbut\b|\bhowever\b")
_CONCESSION = re.compile(r"\b(?:even )?(?:though|although|while|whereas|despite)\b[^,]*")


class RuleCheck:
    """Consistent when the last clause that ranks the responses ranks the chosen one higher.

    No ranking at all, a tie, or a clause that ranks both ways is inconsistent: an ambiguous
    conclusion without a clear choice (the rules of the released check prompt).
    """

    async def check(self, cases: Sequence[Case]) -> list[Agreement]:
        """Check from the text alone; never fails."""
        return [Agreement(consistent=conclusion(case.reasoning) == case.answer) for case in cases]


def conclusion(reasoning: str) -> Literal[1, 2] | None:
    """Return the response that ``reasoning`` concludes is better, None without a clear choice."""
    for clause in reversed(_CLAUSE_END.split(reasoning[-_TAIL:].lower())):
        if clause.endswith("?"):
            continue
        for pattern, replacement in _NORMALISE:
            clause = pattern.sub(replacement, clause)
        # "A is better, though B is shorter" ranks by what is not conceded, if that ranks at all.
        winners = _winners(_CONCESSION.sub("", clause)) or _winners(clause)
        if winners:
            return winners.pop() if len(winners) == 1 else None
    return None


def _winners(clause: str) -> set[Literal[1, 2]]:
    """Return whom the first matching pattern ranks higher; both for a tie or a contradiction."""
    for pattern in _PATTERNS:
        matches = [match.groupdict() for match in pattern.finditer(clause)]
        if matches:
            return set().union(*map(_ranked_higher, matches))
    return set()


def _ranked_higher(groups: dict[str, str | None]) -> set[Literal[1, 2]]:
    if groups.get("tie") is not None:
        return {1, 2}
    flips = [groups.get("other"), groups.get("down"), groups.get("no")]
    first = (groups.get("one") or groups.get("other")) == "1"
    return {1} if first == (sum(map(bool, flips)) % 2 == 0) else {2}
