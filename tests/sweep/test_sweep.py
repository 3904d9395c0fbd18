"""Sweeps: what runs, what does not, what is left after a kill, and what the summary says.

The runs are stand-ins (:mod:`toy_train`); sweeper, launchers and processes are the real ones.
"""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from support.conf import EXPERIMENTS
from support.waiting import HANG, wait_for, waits_for_lock

from r1reward.config.compose import CONF, REPO, compose_config
from r1reward.config.directories import sweep_dir
from r1reward.sweep.job import Job, State

SWEEPS = sorted(path.stem for path in (CONF / "sweep").glob("*.yaml"))
GRID = [
    [f"experiment={experiment}", f"run.seed={seed}"]
    for experiment in ("stablereinforce", "grpo")
    for seed in (0, 1)
]


# A sweep without Hydra, whose composing takes seconds: the overrides of each run, and the runner.
DRIVER = """
import json, sys
from hydra.utils import instantiate
from omegaconf import OmegaConf
from r1reward.sweep import launcher
launcher._command = lambda: "support.toy_train"
config, runner, batch = (json.loads(text) for text in sys.argv[1:])
config = OmegaConf.create(config)
try:
    launcher.Sweep(config, instantiate(runner)).launch(batch)
    launcher.conclude(config)
except KeyboardInterrupt:
    raise SystemExit(130)
"""
SERIAL = {"_target_": "r1reward.sweep.serial.Serial"}
LOCAL = {
    "_target_": "r1reward.sweep.submitit_slurm.SubmititSlurm",
    "cluster": "local",
    "parameters": {"timeout_min": 5},
    "max_num_timeout": 1,
    "poll_seconds": 0.1,
    "ray_start": [],
}


class Toy:
    """A sweep of toys: two experiments by two seeds."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "runs" / "sweeps" / "toys"
        self.folder.mkdir(parents=True)

    def want(self, run: str, what: str) -> None:
        """Tell the run ``experiment-seed`` what to do; nothing: train."""
        (self.folder / run).write_text(what)

    def start(self, retry=None, runner=SERIAL) -> subprocess.Popen:
        """Start the sweep."""
        config = {
            "hydra": {"sweep": {"dir": str(self.folder)}},
            "sweep": {"objectives": ["maximize accuracy"], "retry": retry},
        }
        told = [json.dumps(item) for item in (config, runner, GRID)]
        return self.process([sys.executable, "-c", DRIVER, *told])

    def hydra(self, *overrides: str) -> subprocess.Popen:
        """Start a sweep as a person does."""
        return self.process(
            [sys.executable, "-m", "support.toy_train", "-m", *overrides, "run.root=runs"]
        )

    def process(self, command: list[str]) -> subprocess.Popen:
        return subprocess.Popen(
            command,
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(REPO / "tests")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def jobs(self) -> dict[tuple[str, str], dict]:
        """What sweep.json says, by experiment and seed."""
        found = {}
        for job in json.loads((self.folder / "sweep.json").read_text())["jobs"]:
            settings = dict(item.split("=", 1) for item in job["overrides"])
            found[settings["experiment"], settings["run.seed"]] = job
        return found

    def attempts(self) -> Counter:
        """How often each run was started."""
        text = "".join(path.read_text() for path in self.folder.glob("*/console.txt"))
        return Counter(re.findall(r"toy run of (\w+), seed (\d)", text))


def end(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit status and what was said on either output."""
    out, err = process.communicate(timeout=HANG)
    return process.returncode, out, err


@pytest.fixture
def toy(tmp_path) -> Toy:
    return Toy(tmp_path)


# --- identity


def test_the_same_overrides_are_the_same_folder_in_any_order(tmp_path) -> None:
    one = Job.of(["a.b=1", "c=x", "sweep=lr_kl", "run.root=here", "sweep.retry=failed"], tmp_path)
    other = Job.of(["c=x", "a.b=1", "sweep=other"], tmp_path)
    assert one.folder.name.rpartition("-")[2] == other.folder.name.rpartition("-")[2]
    assert one.overrides == ("a.b=1", "c=x")
    assert one.folder != Job.of(["c=x", "a.b=2"], tmp_path).folder
    assert one.command("r1reward.train") == "r1reward train a.b=1 c=x"


@pytest.mark.parametrize(
    "override", ["data.train_files=['/a b/c,d.jsonl']", "x=" + "y" * 500, "x=ü/..", "+x=$(rm)"]
)
def test_a_folder_name_is_a_plain_one(tmp_path, override) -> None:
    name = Job.of([override], tmp_path).folder.name
    assert re.fullmatch(r"[A-Za-z0-9+][A-Za-z0-9.+-]{0,80}", name)
    assert ".." not in name


def test_a_sweep_has_a_folder_of_its_own_name_or_of_its_overrides() -> None:
    assert sweep_dir("runs", "lr_kl", ["a=1"]) == "runs/sweeps/lr_kl"
    ours = sweep_dir("runs", None, ["a=1,2", "b=3"])
    assert sweep_dir("runs", None, ["b=3", "sweep.retry=failed", "a=1,2"]) == ours
    assert sweep_dir("runs", None, ["a=1,2"]) != ours


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_sets_nothing_but_itself(name) -> None:
    """Else a run would not say in its command what it is."""
    base = compose_config(["cluster=cpu"])
    swept = compose_config(["cluster=cpu", f"sweep={name}"])
    del base.sweep, swept.sweep
    assert swept == base


def test_the_ablation_has_every_experiment() -> None:
    """But the released script's, which has another learning rate, schedule and length as well."""
    params = yaml.safe_load((CONF / "sweep" / "ablation.yaml").read_text())["hydra"]["sweeper"]
    swept = params["params"]["experiment"].split(",")
    assert sorted([*swept, "released"]) == sorted(EXPERIMENTS["train"])


# --- running


def test_a_grid_runs_once_and_is_summarised(toy) -> None:
    status, said, wrong = end(toy.start())
    assert (status, wrong) == (0, "")
    jobs = toy.jobs()
    assert {job["state"] for job in jobs.values()} == {"finished"}
    assert jobs["stablereinforce", "1"]["values"] == [0.84]
    assert jobs["grpo", "0"]["values"] == [0.70]
    winner = "python -m support.toy_train experiment=stablereinforce run.seed=1"
    assert winner in said
    assert winner in (toy.folder / "summary.html").read_text()
    # two seeds: mean +- 12.706 * deviation / sqrt(2); of 80 and 84 the deviation is sqrt(8)
    best, _ = csv.DictReader((toy.folder / "summary.csv").open())
    assert (best["experiment"], best["mark"], best["finished"]) == ("stablereinforce", "best", "2")
    assert float(best["accuracy"]) == pytest.approx(0.82)
    assert float(best["accuracy low"]) == pytest.approx(0.82 - 12.706 * 0.02)
    assert end(toy.start())[0] == 0
    assert set(toy.attempts().values()) == {1}


def test_a_failed_run_is_shown_and_tried_again_only_when_asked(toy) -> None:
    toy.want("grpo-0", "break")
    toy.want("grpo-1", "refuse")
    toy.want("stablereinforce-0", "die")
    status, said, _ = end(toy.start())
    assert status == 1
    jobs = toy.jobs()
    assert jobs["stablereinforce", "1"]["state"] == "finished"  # after one that was killed
    reasons = {run: job["reason"] for run, job in jobs.items() if job["state"] == "failed"}
    assert reasons["grpo", "0"] == "ValueError: it broke"
    assert reasons["grpo", "1"].endswith("error run.seed: not this one")
    assert reasons["stablereinforce", "0"] == "killed by SIGKILL (out of memory?)"
    assert all(reason in said for reason in reasons.values())
    assert "3 of 4 runs failed; to run only those: sweep.retry=failed" in said
    assert end(toy.start())[0] == 1  # nothing is due
    assert max(toy.attempts().values()) == 1
    for run in ("grpo-0", "grpo-1", "stablereinforce-0"):
        toy.want(run, "")
    done = toy.folder / jobs["stablereinforce", "1"]["folder"]
    done.rename(toy.root / "elsewhere")  # as if it had never been started
    assert end(toy.start(retry="failed"))[0] == 1
    states = {run: job["state"] for run, job in toy.jobs().items()}
    assert states.pop(("stablereinforce", "1")) == "to do"
    assert set(states.values()) == {"finished"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_sweep_that_is_killed_goes_on_where_it_was(toy, number) -> None:
    toy.want("stablereinforce-1", "wait")
    sweep = toy.start()
    marks = "*/checkpoints/latest_checkpointed_iteration.txt"  # the second run is at step 5
    wait_for(lambda: list(toy.folder.glob(marks)) or sweep.poll() is not None)
    (mark,) = toy.folder.glob(marks)
    job = Job((), mark.parents[1])
    os.kill(sweep.pid, number)
    assert end(sweep)[0] == (-9 if number == signal.SIGKILL else 130)
    wait_for(lambda: any(row["event"] == "failed" for row in job.run.rows("event")))  # it ended too
    assert job.state is State.INTERRUPTED
    toy.want("stablereinforce-1", "")
    status, _, wrong = end(toy.start())
    assert (status, wrong) == (0, "")
    assert toy.attempts() == {
        ("stablereinforce", "0"): 1,
        ("stablereinforce", "1"): 2,
        ("grpo", "0"): 1,
        ("grpo", "1"): 1,
    }
    starts = [row for row in job.run.rows("event") if row["event"] == "started"]
    assert [row["resumed_from"] for row in starts] == [0, 5]


def test_a_run_and_a_sweep_have_one_process_at_a_time(toy) -> None:
    toy.want("stablereinforce-0", "wait")
    first = toy.start()
    try:
        wait_for(lambda: list(toy.folder.glob("*/checkpoints/*")) or first.poll() is not None)
        status, _, wrong = end(toy.start())
        assert status != 0
        assert f"{toy.folder}: another process runs this sweep" in wrong
        (folder,) = (path.parents[1] for path in toy.folder.glob("*/checkpoints/latest*"))
        again = toy.process([sys.executable, "-m", "r1reward.sweep.worker", str(folder)])
        wait_for(lambda: waits_for_lock(again.pid) or again.poll() is not None)
        assert again.poll() is None
        again.kill()
        again.communicate()
    finally:
        first.terminate()
        end(first)
    assert toy.attempts() == {("stablereinforce", "0"): 1}


def test_the_runs_of_a_batch_side_by_side(toy) -> None:
    """submitit's executor for one machine, with the launcher that is meant for Slurm."""
    toy.want("grpo-0", "break")
    status, _, wrong = end(toy.start(runner=LOCAL))
    assert (status, wrong) == (1, "")
    jobs = toy.jobs()
    assert Counter(job["state"] for job in jobs.values()) == {"finished": 3, "failed": 1}
    assert jobs["grpo", "0"]["reason"] == "ValueError: it broke"


# --- through Hydra


def test_the_command_of_a_person(toy) -> None:
    """An ad hoc grid has a folder too, named after its overrides."""
    overrides = ("run.seed=0,1", "data.steps=3")
    status, said, wrong = end(toy.hydra(*overrides))
    assert (status, wrong) == (0, "")
    (folder,) = toy.root.glob("runs/sweeps/overrides-*")
    jobs = json.loads((folder / "sweep.json").read_text())["jobs"]
    assert [job["overrides"] for job in jobs] == [
        ["run.seed=0", "data.steps=3"],
        ["run.seed=1", "data.steps=3"],
    ]
    _, *rest = shlex.split(said.partition("python -m support.toy_train")[2].splitlines()[0])
    assert rest == ["data.steps=3"]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["sweep.objectives=[accuracy]"], "sweep.objectives: 'accuracy' is none; write"),
        (["sweep.retry=all"], "sweep.retry=all: it is failed, or null"),
        (
            ["hydra/launcher=ray_job", "hydra.launcher.runner.address=http://127.0.0.1:9"],
            "hydra.launcher.runner.address=http://127.0.0.1:9: no Ray cluster takes jobs there",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_sweep_that_cannot_run_is_one_message(toy, overrides, says) -> None:
    status, _, wrong = end(toy.hydra("run.seed=0,1", *overrides))
    assert status == 2
    assert wrong.startswith("error ")
    assert says in wrong
    assert "Traceback" not in wrong


def test_a_search_is_replayed_and_goes_on(toy) -> None:
    def search(trials: int) -> list[dict]:
        status, said, wrong = end(toy.hydra("sweep=optuna", f"hydra.sweeper.n_trials={trials}"))
        assert status == 0, said + wrong
        return json.loads((folder / "sweep.json").read_text())["jobs"]

    folder = toy.root / "runs" / "sweeps" / "optuna"
    tried = [job["folder"] for job in search(2)]
    jobs = search(4)
    assert [job["folder"] for job in jobs][:2] == tried
    assert len({job["folder"] for job in jobs}) == 4
    consoles = [(folder / job["folder"] / "console.txt").read_text() for job in jobs]
    assert [text.count("toy run") for text in consoles] == [1] * 4
    for job in jobs:  # the toy: 80 of 100, less by the distance of the rate from 3e-4
        rate = float(job["overrides"][0].removeprefix("actor_rollout_ref.actor.optim.lr="))
        assert job["values"] == [(80 - round(1000 * abs(rate - 3e-4))) / 100, 40.0]


def test_a_failed_trial_ends_no_search(toy) -> None:
    folder = toy.root / "runs" / "sweeps" / "optuna"
    folder.mkdir()
    (folder / "grpo-0").write_text("break")
    choice = "experiment=choice(stablereinforce,grpo)"
    status, said, _ = end(toy.hydra("sweep=optuna", "hydra.sweeper.n_trials=4", choice))
    jobs = json.loads((folder / "sweep.json").read_text())["jobs"]
    assert len(jobs) == 4
    for job in jobs:
        broken = "experiment=grpo" in job["overrides"]
        assert job["state"] == ("failed" if broken else "finished")
    failed = sum(job["state"] == "failed" for job in jobs)
    assert 0 < failed < 4
    assert status == 1
    assert f"{failed} of 4 runs failed" in said
