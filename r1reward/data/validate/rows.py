"""Checks of single rows of a data set; :mod:`.run` has the checks of all rows together."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r1reward.core.fields import PreferenceError
from r1reward.core.media import ImageError
from r1reward.core.pair import Pair, same, text_of
from r1reward.core.preferences import preference_or_error
from r1reward.core.rows import Row, RowError, Unit, read_unit
from r1reward.data.media_facts import Picture, examine
from r1reward.data.minhash import PERMUTATIONS
from r1reward.data.prompt_length import LengthError, PromptLength
from r1reward.data.validate.duplicates import pair_signature
from r1reward.data.validate.findings import Finding

UNDETERMINED = "und"  # ISO 639-2, of a text too short to tell
_SURE = 0.3  # of a language, at least: its probability
_READ = 1000  # characters of a question, to tell its language
# Words that the tokenizers of Qwen2.5 take for one token each.
_CONTROL = re.compile(
    r"<\|(?:im_start|im_end|endoftext|(?:object_ref|box|quad|vision)_(?:start|end)"
    r"|(?:vision|image|video|fim)_pad|fim_(?:prefix|middle|suffix)|repo_name|file_sep)\|>"
)
# How the messages of r1reward.core.preferences begin.
_FIELDS = {
    "label": re.compile("label=|answer="),
    "answers": re.compile(r"responses|\[Response|message has|message shows"),
}

Problem = tuple[str, str]  # kind of a finding, detail


@dataclass(frozen=True, slots=True)
class Rules:
    """What is checked of each row.

    Attributes:
        max_tokens: longest prompt, after the processor; None: none is counted.
        model: whose processor.
        min_pixels: fewest pixels of an image, as in training.
        max_pixels: most pixels.
        languages: ISO 639-1 codes that questions may have; empty: all.
        near: whether near duplicates are looked for.
    """

    max_tokens: int | None = None
    model: str = ""
    min_pixels: int | None = None
    max_pixels: int | None = None
    languages: tuple[str, ...] = ()
    near: bool = True


@dataclass
class UnitReport:
    """What the rows of a unit hold.

    Attributes:
        unit: which rows.
        rows: how many.
        findings: in the order of the rows.
        labels: rows by source and label.
        languages: rows by language of the question.
        media: images and videos that can be used.
        numbers: of the rows that are records, in the file.
        uids: of the same.
        tokens: of the prompts, where they are counted.
        alike: which of ``numbers`` have a signature: those without errors.
        signatures: of these, shape (rows, PERMUTATIONS).
    """

    unit: Unit
    rows: int = 0
    findings: list[Finding] = field(default_factory=list)
    labels: Counter[tuple[str, int]] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    media: int = 0
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    uids: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    tokens: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    alike: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    signatures: NDArray[np.uint32] = field(
        default_factory=lambda: np.zeros((0, PERMUTATIONS), np.uint32)
    )


def check_unit(unit: Unit, root: str, rules: Rules) -> UnitReport:
    """Check the rows of a unit, each by itself.

    Args:
        unit: which rows.
        root: folder of relative media paths.
        rules: what to check.

    Raises:
        LengthError: when the model has no processor.
    """
    report, checker = UnitReport(unit), _Rows(root, rules)
    try:
        for where, row in read_unit(unit):
            report.rows += 1
            report.findings += checker.check(where, row, report)
    except RowError as error:
        detail = str(error).removeprefix(f"{unit.path}: ")
        problem = f"{detail}; the rest of it is lost, get the file again"
        report.findings.append(Finding(str(unit.path), "unreadable", problem))
    report.numbers = np.array(checker.numbers, np.int64)
    report.uids = np.array(checker.uids, np.uint64)
    report.tokens = np.array(checker.tokens, np.int64)
    report.alike = np.array(checker.alike, np.int64)
    if checker.signatures:
        report.signatures = np.stack(checker.signatures)
    return report


class _Rows:
    """The rows of a unit as they go by."""

    def __init__(self, root: str, rules: Rules) -> None:
        self._root, self._rules = root, rules
        self._length = None if rules.max_tokens is None else _length_of(rules)
        self.numbers: list[int] = []
        self.uids: list[int] = []
        self.tokens: list[int] = []
        self.alike: list[int] = []
        self.signatures: list[NDArray[np.uint32]] = []

    def check(self, where: str, row: Row | RowError, report: UnitReport) -> list[Finding]:
        """Return what is wrong with a row; what is right goes into the report."""
        if problems := [*embedded(row)]:
            return [Finding(where, *problem) for problem in problems]
        preference = preference_or_error(where, row)
        if isinstance(preference, PreferenceError):
            detail = str(preference).removeprefix(f"{where}: ")
            kind = "unreadable" if isinstance(row, RowError) else field_of(detail)
            return [Finding(where, kind, _advised(detail, "repair it, or drop the row"))]
        report.labels[preference.source, preference.label] += 1
        pictures, problems = media(preference, self._root)
        controls = [*control(preference)]
        problems = [*annotation(row), *answers(preference), *controls, *problems]
        if self._length is not None and pictures is not None and not controls:
            problems += self._fits(preference, pictures, self._length)
        spoken = language_of(text_of(preference.question))
        report.languages[spoken] += 1
        problems += language(spoken, self._rules.languages)
        findings = [Finding(where, *problem, preference.uid) for problem in problems]
        self.numbers.append(int(where.rpartition(":")[2]))
        self.uids.append(int(preference.uid, 16))
        if pictures is not None:
            report.media += len(pictures)
            if self._rules.near and not any(finding.is_error for finding in findings):
                self.alike.append(len(self.numbers) - 1)
                self.signatures.append(pair_signature(preference, pictures))
        return findings

    def _fits(
        self, pair: Pair, pictures: Sequence[Picture], length: PromptLength
    ) -> Iterator[Problem]:
        limit = self._rules.max_tokens
        try:
            tokens = length.count(pair, pictures)
        except LengthError as error:
            yield "media", str(error)
            return
        self.tokens.append(tokens)
        if limit is not None and tokens > limit:
            yield "length", f"{tokens:,} tokens, {tokens - limit:,} too many; shorten or drop it"


def field_of(message: str) -> str:
    """Return the kind of a row that is no record, by the field that its message names."""
    return next((kind for kind, begin in _FIELDS.items() if begin.match(message)), "schema")


def embedded(row: Any) -> Iterator[Problem]:
    """Check that files in a row are bytes: JSON has none."""
    items = row.get("media") if isinstance(row, Mapping) else None
    for item in items if isinstance(items, list) else ():
        content = item.get("bytes") if isinstance(item, Mapping) else None
        if content is not None and not isinstance(content, bytes):
            yield "schema", f"media bytes={content!r:.40}; in JSON give a data URI as uri"


def annotation(row: Any) -> Iterator[Problem]:
    """Check the columns that a data set has beside those of a record."""
    attempts, solved = row.get("attempts"), row.get("solved")
    known = type(attempts) is int and 1 <= attempts <= 127 and isinstance(solved, bool)
    if not known and not (attempts is None and solved is None):
        yield (
            "schema",
            f"attempts={attempts!r:.40} and solved={solved!r:.40}; give 1 to 127 and true or "
            "false, or neither",
        )
    for name in ("origin", "reasoning"):
        if not isinstance(row.get(name), str | None):
            yield "schema", f"{name}={row[name]!r:.40}; give a text, or leave it out"


def answers(pair: Pair) -> Iterator[Problem]:
    """Check that there is something to prefer: other words, not other code points for the same."""
    if same(*pair.responses):
        yield "answers", "both responses are the same; drop the row, there is nothing to prefer"


def media(pair: Pair, root: str) -> tuple[list[Picture] | None, list[Problem]]:
    """Decode the media; return them, or None when one cannot be used, and what is to be said."""
    pictures, problems, usable = [], list[Problem](), True
    for item in pair.all_media():
        try:
            picture = examine(item, root)
        except ImageError as error:
            usable = False
            problems.append(("media", _advised(str(error), "give another file, or drop the row")))
            continue
        pictures.append(picture)
        problems += picture.notes
    return (pictures if usable else None), problems


def _advised(message: str, advice: str) -> str:
    return message if ";" in message else f"{message}; {advice}"


def control(pair: Pair) -> Iterator[Problem]:
    """Check that no text ends a turn or stands for an image: tokenizers take such words for that.

    The processor fails on a placeholder too many.
    """
    contents = (pair.question, *pair.responses)
    found = {token: None for one in contents for token in _CONTROL.findall(text_of(one))}
    if found:
        yield "control", f"a text holds {', '.join(found)}; take it out"


def language(spoken: str, wanted: Sequence[str]) -> Iterator[Problem]:
    """Check that a question is in one of the wanted languages, where it can be told."""
    if wanted and spoken not in (*wanted, UNDETERMINED):
        yield "language", f"the question is in {spoken!r}, not in {', '.join(wanted)}; drop it?"


def language_of(text: str) -> str:
    """Return the ISO 639-1 code of a text's language, or ``und`` where it cannot be told."""
    code, probability = _languages().classify(text[:_READ])
    return str(code) if probability >= _SURE and code != "zxx" else UNDETERMINED  # zxx: no words


def known_languages() -> set[str]:
    """Return the codes that :func:`language_of` can give; loading them takes a second."""
    return set(_languages().labels) - {"zxx"}


@cache
def _languages() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def _length_of(rules: Rules) -> PromptLength:
    return PromptLength(rules.model, rules.min_pixels, rules.max_pixels)
