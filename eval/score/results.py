"""The content of ``results.json``, the file of one evaluation."""

from typing import Any, TypedDict

SCHEMA = 1


class FaultRow(TypedDict):
    """A prompt that failed for good: which item it showed in which order, and why."""

    index: int
    id: str
    label: int
    kind: str
    detail: str


class Timing(TypedDict):
    """What an evaluation took: seconds, answers that were asked, answers that were there."""

    seconds: float
    asked: int
    reused: int


class Results(TypedDict):
    """The content of ``results.json``.

    Attributes:
        schema: of this file.
        benchmark: its name.
        judge: its identity.
        score: of :meth:`r1reward.eval.score.scoring.Score.to_dict`.
        notes: what readers must know beside the score's own warnings.
        faults: prompts that failed for good.
        usage: tokens and dollars of all answers.
        timing: of the last session.
        command: the command line.
        config: the resolved configuration.
        versions: of packages.
    """

    schema: int
    benchmark: str
    judge: str
    score: dict[str, Any]
    notes: list[str]
    faults: list[FaultRow]
    usage: dict[str, float]
    timing: Timing
    command: str
    config: dict[str, Any]
    versions: dict[str, str]
