"""Real training runs, two at once, on one machine and on one Ray cluster: they do not collide."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.ray_cluster import ray_cluster
from support.training import SMALL, leftovers
from support.waiting import wait_for

from r1reward.config.compose import REPO
from r1reward.store.rundir import RunDir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def sweep(root: Path, *launcher: str) -> list[RunDir]:
    """Train with two seeds at once; return the runs."""
    command = [sys.executable, "-m", "r1reward.train", "-m", "sweep=smoke", f"run.root={root}"]
    done = subprocess.run(
        [*command, *SMALL, "logging=local", *launcher],
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = json.loads((root / "sweeps" / "smoke" / "sweep.json").read_text())["jobs"]
    assert [job["state"] for job in jobs] == ["finished", "finished"]
    return [RunDir(root / "sweeps" / "smoke" / job["folder"]) for job in jobs]


def check_both(runs: list[RunDir]) -> None:
    """They ran at the same time, each on its own prompts."""
    times = [{row["event"]: row["time"] for row in run.rows("event")} for run in runs]
    assert max(time["started"] for time in times) < min(time["finished"] for time in times)
    seen = []
    for run in runs:
        assert [row["step"] for row in run.rows("train")] == [1, 2]
        for row in run.rows("train"):
            assert row["metrics"]["rollout/samples"] == 8
        lines = (run.root / "rollouts" / "1.jsonl").read_text().splitlines()
        seen.append(sorted(json.loads(line)["record_uid"] for line in lines))
        assert (run.model / "config.json").exists()
    assert len(seen[0]) == len(seen[1]) == 8
    assert seen[0] != seen[1]  # other seeds, other prompts


def test_two_runs_at_once_on_one_machine(tmp_path) -> None:
    before = leftovers()
    runs = sweep(
        tmp_path,
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.runner.cluster=local",
        "hydra.launcher.runner.poll_seconds=1",
    )
    check_both(runs)
    wait_for(lambda: leftovers() <= before)


@pytest.fixture
def cluster(tmp_path):
    """The address of a Ray cluster with room for two runs."""
    with ray_cluster(tmp_path, cpus=32, gpus=2, store_bytes=2_000_000_000) as address:
        yield address


def test_two_runs_at_once_on_one_ray_cluster(tmp_path, cluster) -> None:
    runs = sweep(
        tmp_path,
        "hydra/launcher=ray_job",
        f"hydra.launcher.runner.address={cluster}",
        "hydra.launcher.runner.parallel=2",
    )
    check_both(runs)
