"""The rows that a run leaves in its file, and what a finished run is read back as."""

from typing import Literal, TypedDict

# Numbers of a step by name; NaN and infinity are text.
Step = dict[str, float | str]


Mean = Literal["reward", "accuracy", "format", "consistent", "first"]
MEANS: tuple[Mean, ...] = ("reward", "accuracy", "format", "consistent", "first")
SHARES = MEANS[1:]


class Means(TypedDict):
    """Means over responses: the reward, and shares in [0, 1].

    Attributes:
        reward: the final one.
        accuracy: that choose the better response.
        format: that can be read.
        consistent: whose reasoning concludes what they answer, of those that were checked.
        first: that choose the first response.
    """

    reward: float
    accuracy: float
    format: float
    consistent: float
    first: float


class Validation(Means, total=False):
    """Greedy answers to the validation pairs: how many, after which step, and their texts."""

    n: int
    step: int
    texts: list[str]


class Pair(TypedDict):
    """A validation pair as the page shows it; ``label`` is the better response, 1 or 2."""

    image: str
    responses: list[str]
    label: int


class Start(Validation):
    """How the start model judges the validation pairs, and the pairs."""

    pairs: list[Pair]


class End(TypedDict):
    """How a run ended: its flags of :mod:`.collapse`, and what it took."""

    collapse: list[str]
    seconds: float
    cpu_seconds: float


class FinishedRun(TypedDict):
    """A finished run: its header, and its rows."""

    variant: str
    setting: str
    seed: int
    overrides: list[str]
    easy: float | None
    device: str
    torch: str
    steps: list[Step]
    validations: list[Validation]
    end: End
