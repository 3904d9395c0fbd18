"""What ``results.json`` holds of one evaluation."""

from typing import Any, TypedDict

from omegaconf import DictConfig

from r1reward.cli.command import typed
from r1reward.config.tree import plain
from r1reward.eval.ask import Evaluation, FaultRow
from r1reward.eval.score.scoring import Score
from r1reward.run.provenance import versions

SCHEMA = 1  # of results.json


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


def results(
    cfg: DictConfig,
    evaluation: Evaluation,
    score: Score,
    usage: dict[str, float],
    seconds: float,
) -> Results:
    """Return the content of ``results.json``."""
    return {
        "schema": SCHEMA,
        "benchmark": score.benchmark,
        "judge": evaluation.judge.identity,
        "score": score.to_dict(),
        "notes": notes(evaluation, cfg.limit),
        "faults": evaluation.faults,
        "usage": usage,
        "timing": {
            "seconds": seconds,
            "asked": evaluation.asked,
            "reused": evaluation.reused,
        },
        "command": typed("eval"),
        "config": plain(cfg),
        "versions": versions(),
    }


def notes(evaluation: Evaluation, limit: int | None) -> list[str]:
    """Return what the table and the file must say about this score, beside its own warnings."""
    found = []
    if limit:
        found.append(f"limit={limit}: the first items only, which say little about all of them")
    if evaluation.faults:
        kinds = sorted({fault["kind"] for fault in evaluation.faults})
        found.append(
            f"{len(evaluation.faults)} prompts failed ({', '.join(kinds)}); their votes count as "
            "unreadable. The same command asks them again."
        )
    return found
