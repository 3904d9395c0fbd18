"""Progress of a running job from its journal, as a live line or as plain lines."""

import time
from collections import deque

from rich.console import Console

from r1reward.machine.console import Status, clock
from r1reward.store.lines import number, parse
from r1reward.store.rundir import JournalRow, RunDir

STARTUP = {
    "started": "preflight",
    "ray": "Ray is up",
    "task_runner": "task runner is up",
    "imported": "verl is imported",
    "data": "data is loaded",
    "model": "model is up",
    "engines": "actor, reference and rollout are up",
    "weights": "first weights are in the rollout",
    "training": "training begins",
    "exporting": "exporting the model",
}
_SHOWN = {
    "train/loss": "loss",
    "train/lr": "lr",
    "reward/final/mean": "reward",
    "reward/acc/mean": "accuracy",
    "reward/format/mean": "format",
    "reward/consistency/mean": "consistency",
    "consistency/failure_rate": "check failures",
    "consistency/latency_p95": "check p95",
    "response_length/mean": "tokens",
    "advantage/filtered": "filtered",
    "actor/preclip_frac": "pre-clipped",
    "actor/grad_norm": "grad",
    "train/grad_norm": "grad",
    "actor/reward_kl_penalty": "kl",
    "timing_s/step": "s",
}
_RECENT = 10  # steps whose pace tells how long the rest takes
_QUIET = 60.0  # seconds without news after which the live line says so


class Progress:
    """Follows the journal of a run; call :meth:`poll` now and then.

    Every milestone, validation and step is a line. A terminal has a live line below them: how far
    the run is, how it did in the last validation, how its check does, how long nothing was heard.
    """

    def __init__(self, console: Console, run_dir: RunDir, since: float) -> None:
        self._console = console
        self._journal = run_dir.journal
        self._since = self._heard = since
        self._offset = run_dir.journal.stat().st_size
        self._steps = 0
        self._done = deque[tuple[int, float]](maxlen=_RECENT + 1)  # step and time, of this start
        self._now = {"at": "starting", "validation": "", "check": ""}  # parts of the live line
        self._status = Status(console) if console.is_terminal else None
        if self._status is not None:
            self._status.start()

    def poll(self) -> None:
        """Print what is new."""
        with open(self._journal, "rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                if row := parse(line):
                    self._show(row)
        if self._status is not None:
            self._status.update(self._live())

    def close(self) -> None:
        """Print the rest and end the live line."""
        self.poll()
        if self._status is not None:
            self._status.stop()

    def _show(self, row: JournalRow) -> None:
        say = {"event": self._event, "validation": self._validation, "train": self._train}
        text = say[row["kind"]](row) if row["kind"] in say else ""
        if not text:
            return
        self._heard = row["time"]
        line = f"{clock(row['time'] - self._since)} {text}"
        # A terminal's live line needs to know where lines end; elsewhere they stay whole.
        self._console.print(line, highlight=False, soft_wrap=self._status is None)

    def _event(self, row: JournalRow) -> str:
        self._steps = row.get("steps", self._steps)
        text = STARTUP.get(row["event"], "")
        self._now["at"] = text or self._now["at"]
        return text

    def _validation(self, row: JournalRow) -> str:
        if "n" not in row:  # a cold start generates nothing
            value = f"loss {number(row['metrics']['val/loss']):.4g}"
            self._now["validation"] = f"validation {value}"
            return f"validation at step {row['step']}: {value}"
        accuracy, formatted = row["correct"] / row["n"], row["formatted"] / row["n"]
        self._now["validation"] = f"validation {accuracy:.1%}"
        return (
            f"validation at step {row['step']}: accuracy {accuracy:.1%} "
            f"format {formatted:.1%} (n={row['n']})"
        )

    def _train(self, row: JournalRow) -> str:
        self._done.append((row["step"], row["time"]))
        values = {key: number(row["metrics"].get(key)) for key in _SHOWN}
        parts = [f"{_SHOWN[key]} {value:.3g}" for key, value in values.items() if value is not None]
        # Of a check that is asked; one that answers nothing has no latency.
        failures, latency = values["consistency/failure_rate"], values["consistency/latency_p95"]
        health = [] if failures is None else [f"check fails {failures:.1%}"]
        health += [] if latency is None else [f"p95 {latency:.1f} s"]
        self._now["check"] = ", ".join(health)
        at, left = f"step {row['step']}/{self._steps}", self._left()
        self._now["at"] = " ".join([at, *left])
        return " ".join([at, *parts, *left])

    def _left(self) -> list[str]:
        """Return how long the rest will take at the pace of the last steps, once that is known."""
        (first, began), (last, now) = self._done[0], self._done[-1]
        if last == first or last >= self._steps:
            return []
        return [f"left {clock((self._steps - last) * (now - began) / (last - first))}"]

    def _live(self) -> str:
        now = time.time()
        quiet = now - self._heard
        waited = f"nothing new for {clock(quiet)}" if quiet > _QUIET else ""
        parts = [part for part in (*self._now.values(), waited) if part]
        return f"{clock(now - self._since)} {' | '.join(parts)}"
