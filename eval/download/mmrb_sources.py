"""Sources of the questions and images of Multimodal RewardBench: one entry a folder.

Read off ``scripts/0_download_data.py`` of github.com/facebookresearch/multimodal_rewardbench: which
row of which data set an image path means, and how ``Text`` is made of that row. The instructions
themselves are not repeated here: :class:`Script` reads them from that file. The safety rows of
Hateful Memes (toxicity) are not in the release, so they have no entry.
"""

import ast
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from r1reward.core.rows import Row
from r1reward.eval.download.errors import FetchError

OFFICIAL = "facebookresearch/multimodal_rewardbench"  # on GitHub


class Script:
    """The strings in the functions of the official download script, which is never run."""

    def __init__(self, source: str) -> None:
        self._strings: dict[str, list[str]] = {}
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                parts = (part for part in ast.walk(node) if isinstance(part, ast.Constant))
                self._strings[node.name] = [p.value for p in parts if isinstance(p.value, str)]

    def say(self, function: str, words: str) -> str:
        """Return the one string of ``function`` that holds ``words``.

        Raises:
            FetchError: when there is none, or more than one.
        """
        found = {text for text in self._strings.get(function, []) if words in text}
        if len(found) != 1:
            raise FetchError(f"the official script has {len(found)} texts with {words!r}")
        return found.pop()


TextOf = Callable[[Row], str]


@dataclass(frozen=True, slots=True)
class Source:
    """One folder of images, from a data set of the Hugging Face hub.

    Attributes:
        repo: the data set.
        split: of its rows.
        text: makes of the script what makes ``Text`` of a row; rows come in the benchmark's order.
        configs: of the data set; the rows of several follow each other.
        image: column of the image.
        key: column that the file name repeats; None: it is the row's number, from 0.
        columns: what ``text`` reads.
        all_rows: column -> value of every row up to the last one that is needed; with other rows
            among them the numbers would mean something else.
    """

    repo: str
    split: str
    text: Callable[[Script], TextOf]
    configs: tuple[str | None, ...] = (None,)
    image: str = "image"
    key: str | None = None
    columns: tuple[str, ...] = ()
    all_rows: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class GitHubFolder:
    """One folder of images, copied from a folder of a GitHub repository at a commit."""

    repo: str
    commit: str
    folder: str


def _says(function: str, words: str) -> Callable[[Script], TextOf]:
    """Every row asks the same."""

    def build(script: Script) -> TextOf:
        text = script.say(function, words)
        return lambda row: text

    return build


def _column(name: str) -> Callable[[Script], TextOf]:
    return lambda script: lambda row: str(row[name])


def _text(row: Row, column: str) -> str:
    if not isinstance(found := row[column], str):
        raise FetchError(f"{column}={found!r:.80}; expected a text")
    return found


def _options(choices: object) -> str:
    if not isinstance(choices, list | tuple):
        raise ValueError
    letters = zip(string.ascii_uppercase, choices, strict=False)
    return " ".join(f"({letter}) {choice}" for letter, choice in letters)


def _mmmu_pro(script: Script) -> TextOf:
    instruction = script.say("setup_mmmu_pro", "preceding multiple choice")

    def text(row: Row) -> str:
        question = _text(row, "question").replace("\r", "")
        try:
            options = _options(ast.literal_eval(_text(row, "options")))
        except (ValueError, SyntaxError):
            raise FetchError(f"MMMU_Pro: options={row['options']!r:.80}; expected a list") from None
        return f"{instruction}\n{question} {options}"

    return text


def _mathvista(script: Script) -> TextOf:
    by_choice = script.say("setup_mathvista", "correct option letter")
    integer = script.say("setup_mathvista", "single integer")
    decimals: dict[object, str] = {
        1: script.say("setup_mathvista", "one decimal place"),
        2: script.say("setup_mathvista", "two decimal places"),
    }
    instruction = ""

    def text(row: Row) -> str:
        nonlocal instruction  # a kind of answer without its own gets that of the row before
        question = _text(row, "question").replace("\r", "")
        if row["unit"]:
            question += f" (Unit: {row['unit']})"
        if row["question_type"] == "multi_choice":
            instruction = by_choice
            question += " " + _options(row["choices"])
        elif row["question_type"] == "free_form" and row["answer_type"] == "integer":
            instruction = integer
        elif row["question_type"] == "free_form" and row["answer_type"] == "float":
            instruction = decimals.get(row["precision"], instruction)
        if not instruction:
            raise FetchError(f"mathvista: no instruction for {row['question']!r:.80}")
        return f"{instruction}\nQuestion:{question}"

    return text


def _choices(function: str, columns: Sequence[str]) -> Callable[[Script], TextOf]:
    """A question, its choices in one column each, and what to answer with."""

    def build(script: Script) -> TextOf:
        instruction = script.say(function, "option's letter")

        def text(row: Row) -> str:
            given = zip("ABCD", (row[column] for column in columns), strict=True)
            lines = [f"\n({letter}) {choice}" for letter, choice in given if choice != "nan"]
            return "".join([_text(row, "question"), *lines, instruction])

        return text

    return build


def _emma(script: Script) -> TextOf:
    image = script.say("setup_emma_coding", "<image_1>")
    old = script.say("setup_emma_coding", "Which code")
    new = script.say("setup_emma_coding", "What code")
    return lambda row: _text(row, "question")[len(image) :].replace(old, new)


_LETTERS = ("A", "B", "C", "D")
_SEED = ("choice_a", "choice_b", "choice_c", "choice_d")
SOURCES: Mapping[str, Source | GitHubFolder] = {
    "pairs": GitHubFolder("katiefraser/PAIRS", "507075ac84d244c4f98b965ba257b197d4944b04", "data"),
    "nocaps": Source(
        "HuggingFaceM4/NoCaps", "test", _says("setup_nocaps", "caption"), key="image_id"
    ),
    "visitbench": Source(  # for those who accepted its terms
        "mlfoundations/VisIT-Bench", "test", _column("instruction"), columns=("instruction",)
    ),
    "mmmu-s": Source(
        "MMMU/MMMU_Pro",
        "test",
        _mmmu_pro,
        configs=("standard (10 options)",),
        image="image_1",
        columns=("question", "options"),
    ),
    "mmmu-v": Source(
        "MMMU/MMMU_Pro",
        "test",
        _says("setup_mmmu_pro", "question in the image"),
        configs=("vision",),
    ),
    "mathvista": Source(
        "AI4Math/MathVista",
        "testmini",
        _mathvista,
        image="decoded_image",
        key="pid",
        columns=("question", "unit", "choices", "question_type", "answer_type", "precision"),
    ),
    "image2struct": Source(
        "stanford-crfm/image2struct-latex-v1",
        "validation",
        _says("setup_image2struct", "LaTeX code"),
        configs=("algorithm", "equation", "table"),
        key="uuid",
    ),
    "RealworldQA": Source(
        "xai-org/RealworldQA", "test", _column("question"), columns=("question",)
    ),
    "MMBench": Source(
        "lmms-lab/MMBench",
        "dev",
        _choices("setup_mmbench", _LETTERS),
        configs=("en",),
        columns=("question", *_LETTERS),
    ),
    "SEED-Bench": Source(
        "lmms-lab/SEED-Bench",
        "test",
        _choices("setup_seed_bench", _SEED),
        columns=("question", *_SEED),
        all_rows={"data_type": "image"},
    ),
    "EMMA-Coding": Source(
        "luckychao/EMMA",
        "test",
        _emma,
        configs=("Coding",),
        image="image_1",
        columns=("question",),
    ),
}
