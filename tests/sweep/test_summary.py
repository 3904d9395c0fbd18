"""What a sweep's summary says, against numbers worked out by hand."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from r1reward.config.objective import Objective, objectives
from r1reward.core.errors import ConfigError
from r1reward.sweep.analysis import configurations, front, importance
from r1reward.sweep.job import Job, names, short
from r1reward.sweep.manifest import Manifest, Result
from r1reward.sweep.summary import findings, write_summary
from r1reward.sweep.worth import worth

AIMS = objectives(["maximize accuracy", "minimize response_length/mean"])


def finished(folder: Path, correct: int, length: float, *, steps: int = 2) -> None:
    """Write a run of 100 validation pairs."""
    folder.mkdir(parents=True)
    rows = [{"kind": "event", "event": "started", "resumed_from": 0}]
    for step in range(steps + 1):
        share = 50 + (correct - 50) * step / steps
        rows.append({"kind": "validation", "step": step, "n": 100, "correct": share})
    rows.append({"kind": "train", "step": steps, "metrics": {"response_length/mean": length}})
    rows.append({"kind": "event", "event": "finished"})
    lines = (json.dumps({"time": 0.0, **row}) for row in rows)
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def manifest(tmp_path) -> Manifest:
    """Two rates by two filters by two seeds; one run has failed, one was never started.

    rate 1, none:  70, 74 of 100, 40 and 42 tokens    rate 1, paper: 80, 84, 50 and 50 tokens
    rate 3, none:  60, failed, 30 tokens              rate 3, paper: 66, to do, 45 tokens
    """
    told = {
        ("1", "none"): [(70, 40.0), (74, 42.0)],
        ("1", "paper"): [(80, 50.0), (84, 50.0)],
        ("3", "none"): [(60, 30.0), None],
        ("3", "paper"): [(66, 45.0), None],
    }
    jobs = []
    for (rate, name), runs in told.items():
        for seed, run in enumerate(runs):
            overrides = [f"optim.lr={rate}", f"a.filter={name}", f"run.seed={seed}", "data.steps=2"]
            job = Job.of(overrides, tmp_path)
            jobs.append(job)
            if run is not None:
                finished(job.folder, *run)
            elif name == "none":
                job.folder.mkdir()
                job.finish(status=1, interrupted=False, reason="<b>it</b> broke", seconds=3.0)
    return Manifest("r1reward.train", ["-m", "sweep=x"], AIMS, jobs)


def test_configurations_are_means_over_seeds_with_the_best_first(manifest) -> None:
    found = configurations(manifest)
    assert [tuple(one.settings.values()) for one in found] == [
        ("1", "paper"),
        ("1", "none"),
        ("3", "paper"),
        ("3", "none"),
    ]
    assert list(found[0].settings) == ["optim.lr", "a.filter"]  # not the seed, nor what is shared
    accuracy, length = found[1].means
    assert accuracy.value == pytest.approx(0.72)
    # 70 and 74: deviation sqrt(8), error 2, t of one degree of freedom 12.706
    assert accuracy.high == pytest.approx(0.72 + 12.706 * 0.02)
    assert (length.value, length.n) == (pytest.approx(41.0), 2)
    assert (found[2].means[0].n, found[2].means[0].low) == (1, None)


def test_the_front_is_what_nothing_beats_in_every_objective(manifest) -> None:
    """(82 %, 50) and (72 %, 41) and (60 %, 30); (66 %, 45) is beaten by the second of them."""
    settings = [tuple(one.settings.values()) for one in front(configurations(manifest), AIMS)]
    assert settings == [("1", "paper"), ("1", "none"), ("3", "none")]


def test_importance_is_epsilon_squared_by_hand(manifest) -> None:
    """70 74 80 84 | 60 66: means 77 and 63, of all 72.333.

    SST = 5.444+2.778+58.778+136.111+152.111+40.111 = 395.333; SSW = 49+9+9+49 + 9+9 = 134.
    1 - (134 / (6 - 2)) / (395.333 / (6 - 1)) = 1 - 33.5 / 79.067 = 0.5763
    """
    results = manifest.results()
    assert importance(results, "optim.lr", 0) == pytest.approx(0.5763, abs=1e-4)
    # 70 74 60 | 80 84 66: means 68 and 76.667; SSW = 104 + 178.667 = 282.667
    expected = 1 - (282.667 / 4) / (395.333 / 5)
    assert importance(results, "a.filter", 0) == pytest.approx(expected, abs=1e-4)
    # seeds 0: 70 80 60 66, 1: 74 84; SSW = 212 + 50 = 262; more than chance would do: below 0.2
    assert importance(results, "run.seed", 0) == pytest.approx(
        1 - (262 / 4) / (395.333 / 5), abs=1e-4
    )


def plain(tmp_path, key, pairs) -> list[Result]:
    jobs = [Job((f"{key}={text}", f"run.seed={n}"), tmp_path) for n, (text, _) in enumerate(pairs)]
    return [
        Result(job, job.state, (value,), "", None)
        for job, (_, value) in zip(jobs, pairs, strict=True)
    ]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("a", 1.0), ("a", 1.0), ("b", 2.0), ("b", 2.0)], 1.0),
        ([("a", 1.0), ("a", 2.0), ("b", 1.0), ("b", 2.0)], 0.0),  # not below
        ([("a", 1.0), ("b", 2.0)], None),  # one run each
        ([("a", 1.0), ("a", 2.0)], None),  # one group
        ([("a", 1.0), ("a", 1.0), ("b", 1.0), ("b", 1.0)], None),  # no variance
        # eight numbers, in four groups of two: 1 2 | 3 4 | 5 6 | 7 8
        ([(str(n), float(n // 2)) for n in range(8)], 1.0),
        # ... and as words, one run each
        ([(f"x{n}", float(n // 2)) for n in range(8)], None),
        ([("a", 1.0), ("a", 1.0), ("b", 2.0), ("b", 2.0), ("b", float("nan"))], 1.0),
    ],
)
def test_importance_at_its_limits(tmp_path, pairs, expected) -> None:
    assert importance(plain(tmp_path, "k", pairs), "k", 0) == expected


def test_importance_does_not_grow_with_the_number_of_groups(tmp_path) -> None:
    """Of noise, over many draws: about 0, where SSB / SST would be 7 / 15."""
    import random

    rng = random.Random(0)
    shares = []
    for _ in range(400):
        pairs = [(f"x{n % 8}", rng.gauss(0, 1)) for n in range(16)]
        shares.append(importance(plain(tmp_path, "k", pairs), "k", 0))
    assert sorted(shares)[200] < 0.05


def test_objectives_of_a_run(tmp_path) -> None:
    job = Job((), tmp_path / "a")
    finished(job.folder, 80, 40.0)
    for step, value in enumerate([9.0, 1.0, 2.0, 3.0, 4.0, 5.0], start=3):
        job.run.write("train", step=step, metrics={"timing_s/step": value})
    job.run.write("validation", step=9, n=100, correct=81, metrics={"val/loss": 0.25})
    assert worth(Objective.parse("maximize accuracy"), job.run) == 0.81
    assert worth(Objective.parse("minimize timing_s/step"), job.run) == 3.0  # of the last five
    assert worth(Objective.parse("minimize val/loss"), job.run) == 0.25
    missing = worth(Objective.parse("minimize no/such"), job.run)
    assert missing != missing


@pytest.mark.parametrize("text", ["accuracy", "maximise accuracy", "maximize", ""])
def test_an_objective_that_cannot_be_read_is_named(text) -> None:
    with pytest.raises(ConfigError, match=re.escape(repr(text))):
        Objective.parse(text)


def test_files_hold_what_the_page_shows(manifest, tmp_path) -> None:
    write_summary(tmp_path, manifest)
    runs = list(csv.DictReader((tmp_path / "runs.csv").open()))
    assert [run["state"] for run in runs].count("finished") == 6
    (failed,) = [run for run in runs if run["state"] == "failed"]
    assert (failed["reason"], failed["accuracy"]) == ("<b>it</b> broke", "")
    best = next(csv.DictReader((tmp_path / "summary.csv").open()))
    assert (best["optim.lr"], best["a.filter"], best["mark"]) == ("1", "paper", "best")
    page = (tmp_path / "summary.html").read_text()
    winner = "r1reward train optim.lr=1 a.filter=paper run.seed=1 data.steps=2"
    assert f'<pre id="winner">{winner}</pre>' in page
    assert "<b>it</b>" not in page
    assert "&lt;b&gt;it&lt;/b&gt; broke" in page
    assert page.count("<svg") == 2  # parallel coordinates, curves
    assert "58%" in page  # of the variance: the rate
    assert "src=" not in page
    assert Manifest.read(tmp_path).jobs == manifest.jobs


def test_a_sweep_in_which_nothing_has_finished_has_a_summary_too(tmp_path) -> None:
    jobs = [Job.of([f"run.seed={seed}"], tmp_path) for seed in range(2)]
    manifest = Manifest("r1reward.train", ["-m"], AIMS, jobs)
    write_summary(tmp_path, manifest)
    assert findings(manifest).winner is None
    assert "0 of 2" in (tmp_path / "summary.html").read_text()


def test_the_summary_again_by_command(manifest, tmp_path) -> None:
    def command(folder: Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "r1reward.tools.sweep_summary", str(folder)],
            capture_output=True,
            text=True,
        )

    manifest.write(tmp_path)
    done = command(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == str(tmp_path / "summary.html")
    assert "r1reward train optim.lr=1 a.filter=paper run.seed=1" in done.stdout
    refused = command(tmp_path / "nowhere")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error {tmp_path / 'nowhere'}: no sweep.json there")


def test_names_are_short_where_that_is_enough() -> None:
    assert names(["a.lr", "b.kl", "c.lr"]) == {"a.lr": "a.lr", "b.kl": "kl", "c.lr": "c.lr"}
    assert [short(text) for text in ("0.00037561961444998357", "1e-3", "grpo", "3")] == [
        "0.0003756",
        "1e-3",
        "grpo",
        "3",
    ]
