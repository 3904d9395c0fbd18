"""The report of a run as its reader sees it, from run directories written by hand."""

import json
import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from support.chromium import Chromium

from r1reward.config.compose import compose_config
from r1reward.core.record import read_records
from r1reward.pages.html import PALETTE
from r1reward.report import flips as changes
from r1reward.report import plots
from r1reward.report.history import Story, story
from r1reward.report.run_page import ReportError, write_report
from r1reward.store.rundir import RunDir

START = 1_800_000_000.0  # 15 January 2027, 08:00 UTC
HOSTILE = (
    "</script><script>document.title = 'owned'</script>"
    "<img src='http://127.0.0.1:9/pixel' onerror=\"document.title = 'owned'\">"
)
OVERRIDES = ("experiment=no_filter", "cluster=cpu", "logging=local", "data.steps=6")
# 24 pairs; the first model is right on the first 12, the last on all but the first two.
PAIRS = 24
RIGHT = {0: set(range(12)), 6: set(range(2, PAIRS))}


def rows_of_pairs(number=PAIRS):
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


def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Run:
    """A run directory and its data, written by hand."""

    def __init__(self, root, *overrides):
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

    def append(self, *rows):
        with open(self.dir.journal, "a") as file:
            for seconds, kind, fields in rows:
                file.write(json.dumps({"time": START + seconds, "kind": kind, **fields}) + "\n")

    def started(self, seconds, resumed_from=0, **fields):
        command = ["r1reward", "train", *self.overrides]
        fields |= {"command": command, "resumed_from": resumed_from, "started": START + seconds}
        self.append((seconds + 5, "event", {"event": "started", **fields}))

    def step(self, seconds, number, **metrics):
        metrics = {name.replace("__", "/"): value for name, value in metrics.items()}
        self.append((seconds, "train", {"step": number, "metrics": metrics}))

    def validated(self, seconds, number, correct, n=PAIRS):
        counts = {"n": n, "correct": correct, "formatted": n, "consistent": n // 2}
        self.append((seconds, "validation", {"step": number, "metrics": {}, **counts}))

    def answers(self, step, right, record_uid=True, said="", number=PAIRS):
        dump = []
        for place, record in enumerate(read_records(self.data)):
            choice = record.label if place in right else 3 - record.label
            text = f"<think>It is {place} at {step}. {said}</think><answer>{choice}</answer>"
            dump.append(
                {"input": "", "output": text, "acc": float(place in right), "uid": "random"}
            )
            if record_uid:
                dump[-1]["record_uid"] = record.uid
        # The order of a dump is that of random names.
        jsonl(self.root / "validations" / f"{step}.jsonl", dump[step:] + dump[:step])

    def report(self):
        write_report(self.dir)
        return self.dir.report


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A run that ends well, with two steps whose gradient is broken."""
    run = Run(tmp_path_factory.mktemp("full"))
    made = {"revision": "abc123", "machine": "8 x H200", "versions": {"verl": "0.9.1"}}
    run.started(0, **made)
    run.append((60, "event", {"event": "training", "step": 0, "steps": 6}))
    run.validated(70, 0, 12)
    grads = [1.0, 2.0, "nan", 4.0, "inf", 6.0]
    for number, grad in enumerate(grads, start=1):
        run.step(
            80 + 10 * number, number, reward__acc__mean=number / 8,
            reward__final__mean=number / 4, actor__grad_norm=grad, consistency__checked=8.0,
            response_length__mean=100.0, response_length__min=50.0, response_length__max=200.0,
            advantage__filtered=0.25, timing_s__step=10.0, timing_s__gen=6.0,
            timing_s__update_actor=3.0,
        )  # fmt: skip
    run.validated(150, 6, 22)
    run.append((200, "event", {"event": "finished", "step": 6}))
    run.answers(0, RIGHT[0])
    run.answers(6, RIGHT[6], said=HOSTILE)
    run.report()
    return run


@pytest.fixture(scope="module")
def browser():
    with Chromium() as browser:
        yield browser


@pytest.fixture
def page(full, browser):
    return browser.open(full.dir.report)


def texts(page, selector):
    script = (
        f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.innerText.trim())"
    )
    return page.evaluate(script)


def table(page, selector):
    return page.evaluate(
        f"[...document.querySelector({json.dumps(selector)}).rows]"
        ".map((r) => [...r.cells].map((c) => c.textContent.trim()))"
    )


def cards(page):
    names, values = texts(page, ".card span:first-child"), texts(page, ".card b")
    notes = texts(page, ".card span:last-child")
    return {n: (v, note) for n, v, note in zip(names, values, notes, strict=True)}


def labels(page):
    return page.evaluate(
        "[...document.querySelectorAll('svg')].map((e) => e.getAttribute('aria-label'))"
    )


def headings(page):
    return texts(page, "h2")


def test_it_loads_alone_and_says_what_the_run_was_worth(page) -> None:
    assert page.evaluate("document.title") == "no_filter: 20270115-080000"
    assert (page.requests, page.errors) == ([], [])
    assert texts(page, "h1 .tag") == ["finished"]
    [facts] = texts(page, ".facts")
    assert facts == "15 January 2027, 08:00 to 08:03 UTC · revision abc123 · 8 x H200"
    # Wilson's intervals at z = 1.96 of 12, 22 and 24 of 24.
    assert cards(page) == {
        "validation accuracy, step 0 → 6": (
            "50.0% → 91.7%", "95%: 31.4 to 68.6 → 74.2 to 97.7 · n 24",
        ),
        "in format": ("100.0%", "95%: 86.2 to 100.0; step 0: 100.0%"),
        "consistent": ("50.0%", "95%: 31.4 to 68.6; step 0: 50.0%"),
        "steps": ("6", "of 6"),
        "time": ("3 min 20 s", "10 s a step"),
    }  # fmt: skip
    assert headings(page) == [
        "Accuracy", "Learning", "Stability", "Where a step's time goes", "Changed verdicts",
        "Configuration",
    ]  # fmt: skip


def test_curves_begin_and_end_where_the_journal_does(page) -> None:
    assert labels(page) == [
        "accuracy; validation 50 to 91.67",
        "Reward: all 0.25 to 1.5, result 0.125 to 0.75",
        "Response length: mean 100 to 100",
        "Gradient norm: gradient norm 1 to 6",
        "Filtered and clipped: advantages filtered 25 to 25",
        "mean time of a step: generation 6 s, update 3 s, all else 1 s",
    ]
    # Means of the steps 1 to 5 and 2 to 6; of the gradient, 1, 2 and 4, then 2, 4 and 6.
    assert table(page, "#numbers")[1:] == [
        ["Reward: all", "0.75", "1", ""],
        ["Reward: result", "0.375", "0.5", ""],
        ["Response length", "100", "100", "tokens"],
        ["Gradient norm", "2.333", "4", ""],
        ["Filtered and clipped: advantages filtered", "25", "25", "%"],
    ]


def lines(drawn, colour):
    """The pieces of every line of a plot in this colour, as lists of (x, y)."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*stroke: {colour}', drawn)
    pieces = [piece for path in paths for piece in path.split("M")[1:]]
    pairs = [re.findall(r"([-\d.]+) ([-\d.]+)", piece) for piece in pieces]
    return [[(float(x), float(y)) for x, y in piece] for piece in pairs]


def test_a_value_that_is_no_number_is_a_gap_and_is_counted(full, page) -> None:
    [warning] = texts(page, ".warning")
    assert warning == (
        "Gradient norm (actor/grad_norm): 2 of 6 values are NaN or infinite, first at step 3; the "
        "curve has gaps there."
    )
    told = story(full.dir, ["actor/grad_norm", "reward/final/mean"])
    grad = plots.Panel("Gradient norm", {"gradient norm": "actor/grad_norm"})
    drawn = plots.curves(told, grad).partition("legend")[0]
    broken = [piece for piece in lines(drawn, PALETTE[0]) if len(piece) > 1]
    assert max(map(len, broken)) == 2  # from 1 to 2 only: 4 and 6 have no neighbours
    whole = plots.curves(told, plots.Panel("Reward", {"all": "reward/final/mean"}))
    [line] = [piece for piece in lines(whole, PALETTE[0]) if len(piece) == 6]
    rises = {round(below[1] - above[1], 3) for below, above in pairwise(line)}
    assert max(rises) - min(rises) < 0.01  # a quarter a step


def test_a_long_run_is_smoothed_and_keeps_its_peaks_and_gaps() -> None:
    """One peak of 70 in 280 steps, and a gap: a line is the mean of 280 / 40 = 7 steps."""
    values = np.zeros(280)
    values[139:142] = 0, 70, 0
    values[200:240] = np.nan
    told = Story(steps=np.arange(1, 281), series={"x": values})
    drawn = plots.curves(told, plots.Panel("X", {"x": "x"}))
    pieces = [piece for piece in lines(drawn, PALETTE[0]) if len(piece) > 1]
    faint, bold = pieces[:2], pieces[2:4]  # each before and after the gap
    heights = [max(y for _, y in p[0]) - min(y for _, y in p[0]) for p in (faint, bold)]
    assert heights[0] == pytest.approx(7 * heights[1], rel=1e-2)
    for before, after in (faint, bold):
        assert (after[0][0] - before[-1][0]) / (after[-1][0] - before[0][0]) == pytest.approx(
            41 / 279, rel=0.05
        )


def test_the_bars_of_a_step_are_as_high_as_its_seconds(full) -> None:
    told = story(full.dir, ["timing_s/step", "timing_s/gen", "timing_s/update_actor"])
    phases = {"generation": "timing_s/gen", "update": "timing_s/update_actor"}
    drawn = plots.phases(told, phases, "timing_s/step")
    heights = {}
    for name, colour in zip((*phases, "rest"), PALETTE, strict=False):
        bars = re.findall(rf'<path d="([^"]*)"[^>]*fill: {colour}', drawn)
        ys = [[float(y) for _, y in re.findall(r"([-\d.]+) ([-\d.]+)", bar)] for bar in bars]
        heights[name] = [max(bar) - min(bar) for bar in ys if max(bar) - min(bar) > 0][:6]
    assert len(heights["generation"]) == 6
    unit = heights["generation"][0] / 6
    assert heights["generation"] == pytest.approx([6 * unit] * 6, rel=1e-3)
    assert heights["update"] == pytest.approx([3 * unit] * 6, rel=1e-3)
    assert heights["rest"] == pytest.approx([unit] * 6, rel=1e-3)


def test_changed_verdicts_are_shown_before_and_after(page) -> None:
    [words] = texts(page, "#changed + p")
    assert words == (
        "Of 24 pairs, 12 turned from wrong to right between step 0 and step 6, and 2 from right to "
        "wrong; 10 stayed right, 0 stayed wrong."
    )
    assert texts(page, ".count") == ["14 of 14"]
    page.evaluate("document.querySelector('[data-tag=gained]').click()")
    assert texts(page, ".count") == ["12 of 14"]
    page.evaluate("document.querySelector('[data-tag=lost]').click()")
    first, second = texts(page, "article")
    assert first.startswith("right to wrong")
    assert "data.jsonl:1" in first  # in the order of the data
    assert "One 1." in second
    assert "It is 1 at 0." in second
    assert "It is 1 at 6." in second
    heads = texts(page, "article:last-child .vote h4")  # the label of row 1 is 2
    assert heads == ["step 0: chooses Response 2 right", "step 6: chooses Response 1 wrong"]
    assert texts(page, "article:last-child .answer.better h4") == ["Response 2 (the better one)"]
    assert "gone.png: no such image" in first
    ready = "Promise.all([...document.images].map((image) => image.decode())).then(() => true)"
    assert page.evaluate(ready)
    assert page.evaluate("document.querySelector('article img').naturalWidth") == 320


def test_what_the_data_and_the_model_say_stays_text(page) -> None:
    page.evaluate("document.querySelector('[data-tag=lost]').click()")
    shown = page.evaluate("document.querySelector('article').textContent")
    assert shown.count(HOSTILE) == 2  # in the question, and in the reasoning afterwards
    assert page.evaluate("document.title") == "no_filter: 20270115-080000"
    assert page.requests == []


def test_the_configuration_is_what_was_changed(full, page) -> None:
    heads = texts(page, "#settings ~ h3")
    assert heads == ["What the experiment no_filter changes", "What the command line changes"]
    script = "[...document.querySelectorAll('table.keys')].map((t) => t.innerText)"
    experiment, given = page.evaluate(script)
    assert experiment.split() == [
        "key", "default", "here", "algorithm.stable_reinforce.filter", "paper", "none",
    ]  # fmt: skip
    changed = [line.split("\t") for line in given.splitlines()]
    assert ["data.steps", "30", "6"] in changed
    assert ["trainer.total_training_steps", "30", "6"] in changed  # which follows from it
    assert [line for line in changed if line[0].startswith("algorithm")] == []
    [command] = texts(page, ".command")
    assert command.startswith("r1reward train experiment=no_filter cluster=cpu")


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_its_window(width, browser, full) -> None:
    page = browser.open(full.dir.report)
    page.show(width, 900)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_failed_run_says_why_and_shows_what_there_is(browser, tmp_path) -> None:
    run = Run(tmp_path)
    run.started(0)
    run.append((60, "event", {"event": "training", "step": 0, "steps": 6}))
    run.step(80, 1, reward__final__mean=0.5)
    reason = f"OutOfMemoryError: no memory\n{HOSTILE}"
    run.append((90, "event", {"event": "failed", "error": "RayTaskError", "reason": reason}))
    page = browser.open(run.report())
    assert (page.requests, page.errors) == ([], [])
    assert texts(page, "h1 .tag") == ["failed"]
    [why] = texts(page, ".warning")
    assert why.startswith("Failed at step 1\nOutOfMemoryError: no memory")
    assert HOSTILE in why
    # No validation, no check, no times: their parts are left out.
    assert headings(page) == ["Learning", "Configuration"]
    assert cards(page) == {"steps": ("1", "of 6"), "time": ("1 min 30 s", "")}


def test_a_run_that_fails_at_once_has_a_report_too(browser, tmp_path) -> None:
    run = Run(tmp_path)
    run.started(0)
    run.append((9, "event", {"event": "failed", "error": "KeyboardInterrupt", "reason": ""}))
    page = browser.open(run.report())
    assert page.errors == []
    assert texts(page, "h1 .tag") == ["interrupted"]
    assert texts(page, ".warning") == []
    assert headings(page) == ["Configuration"]


def test_a_resume_undoes_what_followed_its_checkpoint(browser, tmp_path) -> None:
    """Killed at step 4, resumed from 2 a thousand seconds later, and not ended yet."""
    run = Run(tmp_path)
    run.started(0)
    run.validated(10, 0, 6)
    for number in (1, 2, 3, 4):
        run.step(10 + 10 * number, number, reward__final__mean=float(number))
    run.validated(50, 4, 24)
    run.started(1050, resumed_from=2)
    run.step(1070, 3, reward__final__mean=30.0)
    run.validated(1080, 3, 18)
    page = browser.open(run.report())
    assert texts(page, "h1 .tag") == ["no end is written"]
    assert texts(page, ".warning")[0].startswith("The journal has no end")
    assert "started 2 times" in texts(page, ".facts")[0]
    shown = cards(page)
    assert shown["validation accuracy, step 0 → 3"][0] == "25.0% → 75.0%"
    assert shown["time"][0] == "1 min 20 s"  # 50 seconds, then 30
    assert "Reward: all 1 to 30" in labels(page)
    assert table(page, "#numbers")[1] == ["Reward: all", "11", "11", ""]  # (1 + 2 + 30) / 3


def test_a_judge_that_is_asked_has_its_part(browser, tmp_path) -> None:
    run = Run(tmp_path)
    run.started(0)
    for number in (1, 2):
        run.step(
            10 * number, number, consistency__checked=8.0, consistency__latency_p50=0.5,
            consistency__latency_p95=2.0 * number, consistency__failure_rate=0.25,
            consistency__calls=6.0,
        )  # fmt: skip
    page = browser.open(run.report())
    assert headings(page) == ["Consistency", "Configuration"]
    assert labels(page) == [
        "Latency: median 0.5 to 0.5, 95th percentile 2 to 4",
        "Failures: failures 25 to 25",
        "Requests: calls 6 to 6",
    ]


def compared(run, steps=(0, 6)):
    config = OmegaConf.load(run.root / "config.yaml")
    return changes.changes(run.root / "validations", list(steps), config.data)


def test_answers_that_name_no_record_cannot_be_compared(tmp_path) -> None:
    run = Run(tmp_path)
    run.answers(0, RIGHT[0], record_uid=False)
    assert compared(run) is None  # one validation
    run.answers(6, RIGHT[6], record_uid=False)
    assert compared(run) is None


def test_of_several_answers_to_a_pair_the_first_counts(tmp_path) -> None:
    run = Run(tmp_path)
    for step, second in ((0, RIGHT[6]), (6, RIGHT[0])):
        run.answers(step, second)
        others = (run.root / "validations" / f"{step}.jsonl").read_text()
        run.answers(step, RIGHT[step])
        with open(run.root / "validations" / f"{step}.jsonl", "a") as file:
            file.write(others)
    found = compared(run)
    assert found.counts == {(False, True): 12, (True, False): 2, (True, True): 10}
    gained = next(item for item in found.items if item["tags"] == ["gained"])
    assert [vote["right"] for vote in gained["votes"]] == [False, True]


def test_data_that_is_gone_leaves_the_counts(tmp_path) -> None:
    run = Run(tmp_path)
    for step in (0, 6):
        run.answers(step, RIGHT[step])
    jsonl(run.data, rows_of_pairs(0))
    found = compared(run)
    assert found.counts[False, True] == 12
    assert (found.items, found.missing) == ([], f"none of the pairs is in {run.data} any more")
    run.data.unlink()
    assert str(run.data) in compared(run).missing


def test_a_page_of_many_changes_stays_small(tmp_path) -> None:
    run = Run(tmp_path)
    jsonl(run.data, rows_of_pairs(1000))
    run.answers(0, set(range(600)), said="long " * 4000)
    run.answers(6, set(range(300, 1000)), said="long " * 4000)
    found = compared(run)
    assert (found.counts[True, False], found.counts[False, True]) == (300, 400)
    kinds = [item["tags"][0] for item in found.items]
    assert (kinds.count("lost"), kinds.count("gained")) == (40, 40)
    longest = max(len(vote["text"]) for item in found.items for vote in item["votes"])
    assert longest < 6100
    assert found.items == compared(run).items


def test_a_key_on_the_command_line_is_not_repeated(tmp_path) -> None:
    secret = "sk-not-to-be-seen"
    given = f"+ray_kwargs.ray_init.runtime_env.env_vars.WANDB_API_KEY={secret}"
    run = Run(tmp_path, given)
    run.started(0)
    assert secret in (run.root / "config.yaml").read_text()
    assert secret not in run.report().read_text()


def test_the_command_says_what_is_no_run(tmp_path) -> None:
    with pytest.raises(ReportError, match="no config"):
        write_report(RunDir(tmp_path))
    command = [sys.executable, "-m", "r1reward.tools.report", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error {tmp_path}: no config.yaml and journal.jsonl")
