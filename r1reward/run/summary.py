"""Summary of a finished run: accuracy, seconds, paths."""

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from r1reward.core.intervals import wilson_interval
from r1reward.run.progress import STARTUP
from r1reward.store.lines import number
from r1reward.store.rundir import RunDir

_WINDOW = 5  # training steps averaged at either end
_PARTS = {
    "reward": "reward/final/mean",
    "accuracy while sampling": "reward/acc/mean",
    "format": "reward/format/mean",
    "consistency": "reward/consistency/mean",
    "parse failures": "reward/parse_failure/mean",
    "consistent when right": "consistency/consistent_right",
    "consistent when wrong": "consistency/consistent_wrong",
    "response tokens": "response_length/mean",
    "advantages filtered": "advantage/filtered",
    "ratios pre-clipped": "actor/preclip_frac",
    "ratios clipped": "actor/pg_clipfrac",
    "gradient norm": "actor/grad_norm",
}
_CONSISTENCY_TOTALS = {
    "calls": "consistency/calls",
    "cache hits": "consistency/cache_hits",
    "retries": "consistency/retries",
    "tokens": "consistency/tokens",
    "failures": "consistency/failures",
}
_CONSISTENCY_MEANS = {
    "failure rate": "consistency/failure_rate",
    "latency p50, seconds": "consistency/latency_p50",
    "latency p95, seconds": "consistency/latency_p95",
    "waited for, seconds a step": "consistency/exposed_s",
    "waited for, share of the step": "consistency/exposed_share",
}
_FINE_TUNING = {
    "training loss": "train/loss",
    "gradient norm": "train/grad_norm",
    "learning rate": "train/lr",
    "tokens": "train/global_tokens",
}
_PHASES = ("gen", "old_log_prob", "ref", "adv", "update_actor", "update_weights", "save_checkpoint")


def accuracy_after(run_dir: RunDir) -> float:
    """Return the last validation accuracy in [0, 1], or NaN when there was no validation."""
    rows = list(run_dir.history("validation"))
    return rows[-1]["correct"] / rows[-1]["n"] if rows else float("nan")


def summary(run_dir: RunDir) -> Group:
    """Return the tables that describe a finished run."""
    tables = [learning_table(run_dir), training_table(run_dir), consistency_table(run_dir)]
    shown = [table for table in tables if table is not None]
    return Group(*shown, startup_table(run_dir), _paths(run_dir))


def loss_after(run_dir: RunDir) -> float:
    """Return the last validation loss, or the last training loss where nothing is validated."""
    for kind, key in (("validation", "val/loss"), ("train", "train/loss")):
        if rows := list(run_dir.history(kind)):
            found = number(rows[-1]["metrics"].get(key))
            return float("nan") if found is None else found
    return float("nan")


def cold_start_summary(run_dir: RunDir) -> Group:
    """Return the tables that describe a finished cold start."""
    return Group(loss_table(run_dir), startup_table(run_dir), _paths(run_dir))


def loss_table(run_dir: RunDir) -> Table:
    """Return losses (nats a target token), first and last, and what the steps took."""
    train = list(run_dir.history("train"))
    table = Table(title=f"cold start ({len(train)} steps)", title_justify="left")
    for name in ("", "first", "last"):
        table.add_column(name)
    metrics = [row["metrics"] for row in train]
    first, last = metrics[:_WINDOW], metrics[-_WINDOW:]
    for name, key in _FINE_TUNING.items():
        table.add_row(f"{name}, mean of {_WINDOW} steps", _mean(first, key), _mean(last, key))
    validations = list(run_dir.history("validation"))
    if validations:
        ends = [validations[0], validations[-1]]
        losses = [_mean([row["metrics"]], "val/loss") for row in ends]
        steps = [f"{loss} (step {row['step']})" for loss, row in zip(losses, ends, strict=True)]
        table.add_row("validation loss", *steps)
    return table


def learning_table(run_dir: RunDir) -> Table:
    """Return validation before and after training, with n and 95% Wilson intervals."""
    table = Table(title="validation (unseen)", title_justify="left")
    for name in ("", "step", "n", "accuracy", "95% interval", "format", "95% interval"):
        table.add_column(name)
    rows = list(run_dir.history("validation"))
    for row in rows[:1] + rows[1:][-1:]:
        name, cells = "after" if row["step"] else "before", []
        for count in (row["correct"], row["formatted"]):
            low, high = wilson_interval(count, row["n"])
            cells += [f"{count / row['n']:.1%}", f"{low:.1%} to {high:.1%}"]
        table.add_row(name, str(row["step"]), str(row["n"]), *cells)
    return table


def training_table(run_dir: RunDir) -> Table:
    """Return reward parts and stabiliser statistics, first and last steps, and phase times."""
    rows = [row["metrics"] for row in run_dir.history("train")]
    first, last = rows[:_WINDOW], rows[-_WINDOW:]
    table = Table(title=f"training ({len(rows)} steps)", title_justify="left")
    for name in (f"mean of {_WINDOW} steps", "first", "last"):
        table.add_column(name)
    for name, key in _PARTS.items():
        if any(key in row for row in rows):
            table.add_row(name, _mean(first, key), _mean(last, key))
    table.add_section()
    for phase in _PHASES:
        key = f"timing_s/{phase}"
        if any(key in row for row in rows):
            table.add_row(f"{phase}, seconds a step", _mean(first, key), _mean(last, key))
    return table


def consistency_table(run_dir: RunDir) -> Table | None:
    """Return what the check took and how it failed, or None when it never asked nor failed."""
    rows = [row["metrics"] for row in run_dir.history("train")]
    rows = [row for row in rows if "consistency/failures" in row]
    if not rows:
        return None
    first, last = rows[:_WINDOW], rows[-_WINDOW:]
    table = Table(title=f"check ({len(rows)} steps)", title_justify="left")
    for name in (f"mean of {_WINDOW} steps", "first", "last", "whole run"):
        table.add_column(name)
    kinds = sorted({key for row in rows for key in row if key.startswith("consistency/failures/")})
    totals = _CONSISTENCY_TOTALS | {key.removeprefix("consistency/"): key for key in kinds}
    for name, key in totals.items():
        counts = [{key: float(row.get(key, 0.0))} for row in rows]
        whole = f"{sum(row[key] for row in counts):,.0f}"
        table.add_row(name, _mean(counts[:_WINDOW], key), _mean(counts[-_WINDOW:], key), whole)
    for name, key in _CONSISTENCY_MEANS.items():
        table.add_row(name, _mean(first, key), _mean(last, key), _mean(rows, key))
    return table


def startup_table(run_dir: RunDir) -> Table:
    """Return where the time from the command to the first training step went (last start)."""
    events = list(run_dir.rows("event"))
    begin = max(i for i, row in enumerate(events) if row["event"] == "started")
    table = Table(title="start-up", title_justify="left")
    for name in ("milestone", "seconds", "since the command"):
        table.add_column(name)
    origin = previous = float(events[begin]["started"])
    for row in events[begin:]:
        if row["event"] in STARTUP and row["event"] != "exporting":
            table.add_row(
                STARTUP[row["event"]],
                f"{row['time'] - previous:.1f}",
                f"{row['time'] - origin:.1f}",
            )
            previous = row["time"]
    return table


def _paths(run_dir: RunDir) -> Text:
    paths = {
        "checkpoint": run_dir.checkpoints / f"global_step_{run_dir.latest_step()}",
        "model": run_dir.model,
        "journal": run_dir.journal,
        "log": run_dir.log,
    }
    lines = [f"{name:<12}{path}" for name, path in paths.items() if path.exists()]
    return Text("\n".join(lines))


def _mean(rows: Sequence[Mapping[str, object]], key: str) -> str:
    found = [number(row.get(key)) for row in rows]
    values = [value for value in found if value is not None]
    return f"{sum(values) / len(values):.3g}" if values else "-"
