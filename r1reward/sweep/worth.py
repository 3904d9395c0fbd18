"""Value of a finished run of a sweep by an objective."""

from math import nan

from r1reward.config.objective import ACCURACY, Objective
from r1reward.run.summary import accuracy_after
from r1reward.store.lines import number
from r1reward.store.rundir import RunDir

WINDOW = 5  # training steps, the last ones, that a metric is averaged over


def worth(objective: Objective, run: RunDir) -> float:
    """Return the objective's number of a run, or NaN where the run has none."""
    if objective.metric == ACCURACY:
        return accuracy_after(run)
    validated = _values(objective.metric, run, "validation")
    values = validated[-1:] or _values(objective.metric, run, "train")[-WINDOW:]
    return sum(values) / len(values) if values else nan


def _values(metric: str, run: RunDir, kind: str) -> list[float]:
    rows = (row.get("metrics", {}).get(metric) for row in run.history(kind))
    return [value for value in map(number, rows) if value is not None]
