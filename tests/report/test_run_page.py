"""The report of a run as its reader sees it."""

import subprocess
import sys

import pytest
from support.run_page import HOSTILE, Run, cards, headings, labels, table, texts

from r1reward.report.run_page import ReportError, write_report
from r1reward.store.rundir import RunDir


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
