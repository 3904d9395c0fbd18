"""Summary of the runs in numbers, for the page and the kept data files."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median

from r1reward.core.intervals import Mean, t_interval
from r1reward.recipes.ablation.rows import SHARES, FinishedRun

CURVES = (
    "accuracy", "reward", "format", "consistent", "first", "length", "grad_norm", "filtered",
    "preclipped", "clipped", "log_ratio_max",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """One variant in one setting, over seeds.

    Attributes:
        accuracy: on the validation pairs at the end, greedy.
        difference: of that accuracy to the first variant's, seed by seed.
        first: share of final answers that choose the first response.
        consistent: share of final answers whose reasoning concludes what they answer.
        collapsed: runs with any flag of :mod:`r1reward.recipes.ablation.collapse`.
        flags: how often each flag was raised.
        grad_norm: median over steps and seeds of the norm before clipping; infinite ones count.
        grad_norm_max: largest of any update.
        filtered: mean share of response tokens that the filter set to 0.
        filtered_negative: the same of tokens with a negative advantage.
        filtered_steps: share of steps in which the filter removed anything.
        preclipped: mean share of response tokens beyond Pre-CLIP's bounds, clamped or not.
        preclipped_steps: share of steps in which any was beyond.
        clipped: mean share of response tokens that PPO's clip held.
        log_ratio_max: largest of any update.
        length: mean tokens of a response in the last step.
        seconds: mean of a run.
    """

    setting: str
    variant: str
    accuracy: Mean
    difference: Mean | None
    first: float
    consistent: float
    collapsed: int
    flags: dict[str, int]
    grad_norm: float
    grad_norm_max: float
    filtered: float
    filtered_negative: float
    filtered_steps: float
    preclipped: float
    preclipped_steps: float
    clipped: float
    log_ratio_max: float
    length: float
    seconds: float


def read_runs(folder: Path) -> list[FinishedRun]:
    """Return the finished runs of ``folder``, in the order of their files.

    A run is its header with ``steps``, ``validations`` (each a list of rows) and ``end``.
    """
    runs = []
    for file in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        kinds = [row.pop("kind") for row in rows]
        if not rows or kinds[-1] != "end":
            continue
        head, *between, end = rows
        run: FinishedRun = head | {"steps": [], "validations": [], "end": end}
        for kind, row in zip(kinds[1:-1], between, strict=True):
            run["steps" if kind == "step" else "validations"].append(row)
        runs.append(run)
    return runs


def cells(runs: Sequence[FinishedRun], baseline: str) -> list[Cell]:
    """Return a cell for every setting and variant there is, in the order of ``runs``."""
    groups: dict[tuple[str, str], list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault((run["setting"], run["variant"]), []).append(run)
    return [
        _cell(setting, variant, group, groups.get((setting, baseline), []))
        for (setting, variant), group in groups.items()
    ]


def _cell(
    setting: str,
    variant: str,
    group: Sequence[FinishedRun],
    baseline: Sequence[FinishedRun],
) -> Cell:
    last = [run["validations"][-1] for run in group]
    steps = [step for run in group for step in run["steps"]]
    there = {run["seed"]: accuracy_of(run) for run in baseline}
    paired = [accuracy_of(run) - there[run["seed"]] for run in group if run["seed"] in there]

    def numbers(key: str) -> list[float]:
        return [float(step[key]) for step in steps]

    return Cell(
        setting=setting,
        variant=variant,
        accuracy=t_interval([accuracy_of(run) for run in group]),
        difference=t_interval(paired) if paired and group is not baseline else None,
        first=fmean(row["first"] for row in last),
        consistent=fmean(row["consistent"] for row in last),
        collapsed=sum(bool(run["end"]["collapse"]) for run in group),
        flags=dict(Counter(flag for run in group for flag in run["end"]["collapse"])),
        grad_norm=median(numbers("grad_norm")),
        grad_norm_max=max(numbers("grad_norm_max")),
        filtered=fmean(numbers("filtered")),
        filtered_negative=fmean(numbers("filtered_negative")),
        filtered_steps=fmean(value > 0 for value in numbers("filtered")),
        preclipped=fmean(numbers("preclipped")),
        preclipped_steps=fmean(value > 0 for value in numbers("preclipped")),
        clipped=fmean(numbers("clipped")),
        log_ratio_max=max(numbers("log_ratio_max")),
        length=fmean(float(run["steps"][-1]["length"]) for run in group),
        seconds=fmean(run["end"]["seconds"] for run in group),
    )


def accuracy_of(run: FinishedRun) -> float:
    """Return a run's accuracy on the validation pairs at its end."""
    return float(run["validations"][-1]["accuracy"])


def compact(runs: Iterable[FinishedRun]) -> list[dict[str, object]]:
    """Return the runs with a list a curve, of four digits: what is kept in the repository."""
    return [
        {
            "setting": run["setting"],
            "variant": run["variant"],
            "seed": run["seed"],
            "device": run["device"],
            "collapse": run["end"]["collapse"],
            "seconds": run["end"]["seconds"],
            "curves": {key: [_short(step[key]) for step in run["steps"]] for key in CURVES},
            "validations": {
                str(row["step"]): {key: _short(row[key]) for key in SHARES}
                for row in run["validations"]
            },
        }
        for run in runs
    ]


def as_json(cell: Cell) -> dict[str, object]:
    """Return the cell for JSON; infinite norms as text."""
    return {key: _short(value) for key, value in asdict(cell).items()}


def _short(value: object) -> object:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, float):
        short = float(f"{value:.4g}")
        return short if short - short == 0 else str(value)
    return value
