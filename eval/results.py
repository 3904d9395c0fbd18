"""Content of ``results.json`` of one evaluation."""

from omegaconf import DictConfig

from r1reward.cli.command import typed
from r1reward.config.tree import plain
from r1reward.eval.ask import Evaluation
from r1reward.eval.score.results import SCHEMA, Results
from r1reward.eval.score.scoring import Score
from r1reward.run.provenance import versions


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
