"""Ray over the nodes of an allocation, rehearsed by two processes on this machine."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from support.training import SMALL, leftovers
from support.waiting import HANG, wait_for

from r1reward.config.compose import CONF, REPO, register_resolvers
from r1reward.store.rundir import RunDir

# One node of an allocation: FOLDER RANK COUNT ALLOCATION.
NODE = """
import json, os, subprocess, sys
from pathlib import Path
from r1reward.sweep import nodes
nodes._PATIENCE = 1800.0  # longer than the tests wait
folder, rank, count, allocation = Path(sys.argv[1]), *map(int, sys.argv[2:4]), sys.argv[4]
def ask(**changed):
    code = (
        "import json, ray; ray.init('auto', log_to_driver=False); "
        "print(json.dumps([ray.cluster_resources(), len(ray.nodes())]))"
    )
    environment = {**os.environ, **changed}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
def run():
    resources, alive = json.loads(ask().stdout.splitlines()[-1])
    content = {
        "resources": resources, "alive": alive,
        "mode": (folder / "cluster.json").stat().st_mode,
        "stranger": ask(RAY_AUTH_TOKEN="0" * 64).returncode,
    }
    (folder / "seen.json").write_text(json.dumps(content))
arguments = ["--num-gpus=1", "--num-cpus=2", "--object-store-memory=100000000", *sys.argv[5:]]
nodes.Nodes(folder, allocation, rank, count, arguments)(run)
"""


def node(folder: Path, rank: int, count: int, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", NODE, str(folder), str(rank), str(count), *(more or ("1.0",))],
        cwd=REPO,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_nodes_are_one_cluster_until_the_run_is_over(tmp_path) -> None:
    before = leftovers()
    # of an allocation that has gone: its cluster must not be joined
    stale = {"allocation": "0.0", "environment": {"RAY_ADDRESS": "192.0.2.1:1"}}
    (tmp_path / "cluster.json").write_text(json.dumps(stale))
    both = [node(tmp_path, rank, 2) for rank in (1, 0)]
    for one in both:
        _, errors = one.communicate(timeout=HANG)
        assert one.returncode == 0, errors
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["alive"] == 2
    assert (seen["resources"]["GPU"], seen["resources"]["CPU"]) == (2, 4)
    assert stat.S_IMODE(seen["mode"]) == 0o600  # it holds the token,
    assert seen["stranger"] != 0  # without which nobody gets in
    assert not (tmp_path / "cluster.json").exists()
    wait_for(lambda: leftovers() <= before)


def test_a_head_that_cannot_start_says_where_to_read_why(tmp_path) -> None:
    head = node(tmp_path, 0, 2, "1.0", "--no-such-option")
    _, errors = head.communicate(timeout=HANG)  # it does not wait for the other node
    assert head.returncode == 1
    assert f"{tmp_path}/ray-0.txt says why" in errors
    assert "--no-such-option" in (tmp_path / "ray-0.txt").read_text()


@pytest.mark.parametrize(
    ("launcher", "more", "joins"),
    [
        ("submitit_slurm", ["hydra.launcher.runner.parameters.nodes=2"], True),
        ("submitit_slurm", [], False),
        ("ray_job", [], True),
        ("serial", [], False),
    ],
)
def test_a_run_of_several_machines_joins_their_cluster(launcher, more, joins) -> None:
    register_resolvers()
    given = ["cluster=gpu8", "model=qwen2_5_vl_7b", "trainer.nnodes=2", *more]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*given, f"hydra/launcher={launcher}"], return_hydra_config=True)
    assert cfg.trainer.nnodes * cfg.trainer.n_gpus_per_node == 16
    runner = instantiate(cfg.hydra.launcher.runner)
    assert ("ray_kwargs.ray_init.address=auto" in runner.overrides) == joins


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_is_sharded_over_two_nodes(tmp_path) -> None:
    """As on Slurm, with submitit's local executor in its place."""
    before, runner = leftovers(), "hydra.launcher.runner"
    stand_ins = '["--num-gpus=1","--num-cpus=16","--object-store-memory=1000000000"]'
    done = subprocess.run(
        [
            *(sys.executable, "-m", "r1reward.train", "-m", "run.seed=0", f"run.root={tmp_path}"),
            *(*SMALL, "logging=local", "trainer.nnodes=2", "hydra/launcher=submitit_slurm"),
            *(f"{runner}.cluster=local", f"{runner}.parameters.tasks_per_node=2"),
            *(f"{runner}.ray_start={stand_ins}", f"{runner}.poll_seconds=1"),
        ],
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (path.parent for path in tmp_path.glob("sweeps/*/*/journal.jsonl"))
    run = RunDir(folder)
    for row in run.rows("train"):  # both engines hold the actor's weights
        assert row["metrics"]["training/rollout_probs_diff_mean"] < 1e-3
        assert row["metrics"]["rollout/samples"] == 8
    shards = {path.name for path in (folder / "checkpoints/global_step_2/actor").glob("model_*")}
    assert shards == {f"model_world_size_2_rank_{rank}.pt" for rank in (0, 1)}
    assert (run.model / "config.json").exists()
    named = {path for path in leftovers() - before if not Path(path).name.startswith("sem.mp-")}
    assert not named
