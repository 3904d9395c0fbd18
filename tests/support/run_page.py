"""Run directories written by hand, and a report as a browser shows it."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from omegaconf import OmegaConf
from PIL import Image
from support.chromium import Page
from support.journal import START, Row

from r1reward.config.compose import compose_config
from r1reward.core.preferences import read_preferences
from r1reward.report.run_page import write_report
from r1reward.store.rundir import RunDir

HOSTILE = (
    "</script><script>document.title = 'owned'</script>"
    "<img src='http://127.0.0.1:9/pixel' onerror=\"document.title = 'owned'\">"
)
OVERRIDES = ("experiment=no_filter", "cluster=cpu", "logging=local", "data.steps=6")
# 24 pairs; the first model is right on the first 12, the last on all but the first two.
PAIRS = 24
RIGHT = {0: set(range(12)), 6: set(range(2, PAIRS))}


def rows_of_pairs(number: int = PAIRS) -> list[dict[str, object]]:
    return [
        {
            "question": f"Question {n}? {HOSTILE if n == 0 else ''}",
            "responses": [f"One {n}.", f"Two {n}."],
            "label": 1 + n % 2,
            "media": [{"kind": "image", "uri": "photo.png" if n else "gone.png"}],
            "source": "even" if n % 2 == 0 else "odd",
        }
        for n in range(number)
    ]


def jsonl(path: Path, rows: Iterable[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Run:
    """A run directory and its data, written by hand."""

    def __init__(self, root: Path, *overrides: str) -> None:
        self.root, self.data = root / "20270115-080000", root / "data.jsonl"
        self.dir = RunDir(self.root)
        self.root.mkdir(parents=True)
        jsonl(self.data, rows_of_pairs())
        Image.new("RGB", (640, 480), "red").save(root / "photo.png")
        self.overrides = [*OVERRIDES, f"data.val_files={self.data}", *overrides]
        config = compose_config([*self.overrides, f"data.media_root={root}"])
        config.run.dir, config.run.name = str(self.root), "no_filter"
        OmegaConf.resolve(config)
        OmegaConf.save(config, self.root / "config.yaml")

    def append(self, *rows: Row) -> None:
        with open(self.dir.journal, "a") as file:
            for seconds, kind, fields in rows:
                file.write(json.dumps({"time": START + seconds, "kind": kind, **fields}) + "\n")

    def started(self, seconds: float, resumed_from: int = 0, **fields: object) -> None:
        command = ["r1reward", "train", *self.overrides]
        fields |= {"command": command, "resumed_from": resumed_from, "started": START + seconds}
        self.append((seconds + 5, "event", {"event": "started", **fields}))

    def step(self, seconds: float, number: int, **metrics: object) -> None:
        metrics = {name.replace("__", "/"): value for name, value in metrics.items()}
        self.append((seconds, "train", {"step": number, "metrics": metrics}))

    def validated(self, seconds: float, number: int, correct: int, n: int = PAIRS) -> None:
        counts = {"n": n, "correct": correct, "formatted": n, "consistent": n // 2}
        self.append((seconds, "validation", {"step": number, "metrics": {}, **counts}))

    def answers(
        self,
        step: int,
        right: Collection[int],
        record_uid: bool = True,
        said: str = "",
        number: int = PAIRS,
    ) -> None:
        dump = []
        for place, record in enumerate(read_preferences(self.data)):
            choice = record.label if place in right else 3 - record.label
            text = f"<think>It is {place} at {step}. {said}</think><answer>{choice}</answer>"
            dump.append(
                {"input": "", "output": text, "acc": float(place in right), "uid": "random"}
            )
            if record_uid:
                dump[-1]["record_uid"] = record.uid
        # The order of a dump is that of random names.
        jsonl(self.root / "validations" / f"{step}.jsonl", dump[step:] + dump[:step])

    def report(self) -> Path:
        write_report(self.dir)
        return self.dir.report


def texts(page: Page, selector: str) -> list[str]:
    script = (
        f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.innerText.trim())"
    )
    found: list[str] = page.evaluate(script)
    return found


def table(page: Page, selector: str) -> list[list[str]]:
    rows: list[list[str]] = page.evaluate(
        f"[...document.querySelector({json.dumps(selector)}).rows]"
        ".map((r) => [...r.cells].map((c) => c.textContent.trim()))"
    )
    return rows


def cards(page: Page) -> dict[str, tuple[str, str]]:
    names, values = texts(page, ".card span:first-child"), texts(page, ".card b")
    notes = texts(page, ".card span:last-child")
    return {n: (v, note) for n, v, note in zip(names, values, notes, strict=True)}


def labels(page: Page) -> list[str]:
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('svg')].map((e) => e.getAttribute('aria-label'))"
    )
    return found


def headings(page: Page) -> list[str]:
    return texts(page, "h2")
