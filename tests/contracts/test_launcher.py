"""The contract of a launcher: every option of conf/hydra/launcher.

The runs are stand-ins (:mod:`support.toy_train`), each in a process of its own. A launcher with an
``address`` runs them on a Ray cluster on this machine, one with a ``cluster`` by submitit's
executor for one machine.
"""

import os
from inspect import isfunction

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from support.contracts import option, options, parameters, without_option
from support.ray_cluster import ray_cluster

from r1reward import sweep
from r1reward.config.compose import CONF, REPO, register_resolvers
from r1reward.core.errors import ConfigError
from r1reward.sweep.job import Job, State

GROUP = "hydra/launcher"
NAMES = options(GROUP)
TAKEN = {name: parameters(option(GROUP, name).runner) for name in NAMES}


def node(name):
    """The launcher as a sweep has it."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = ["cluster=cpu", f"{GROUP}={name}"]
        return compose("train", overrides, return_hydra_config=True).hydra.launcher


@pytest.fixture
def runner(request, tmp_path, monkeypatch):
    """Every runner there is, where its jobs can run."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), str(REPO / "tests")]))
    built, taken = node(request.param).runner, TAKEN[request.param]
    if "poll_seconds" in taken:
        built.poll_seconds = 0.1
    if "cluster" in taken:
        built.cluster = "local"
    if "address" not in taken:
        yield instantiate(built)
        return
    with ray_cluster(tmp_path, cpus=2, gpus=0, store_bytes=100_000_000) as address:
        yield instantiate(built, address=address)


def jobs(runner, root, count):
    """Jobs that differ in their seed."""
    found = [Job.of([f"run.seed={seed}"], root / "sweep") for seed in range(count)]
    for job in found:
        job.write("support.toy_train", runner.overrides)
    return found


def test_every_runner_has_an_option():
    def is_runner(one):
        return isfunction(getattr(one, "run", None)) and hasattr(one, "overrides")

    assert {"serial", "submitit_slurm", "ray_job"} <= set(NAMES)
    assert without_option(sweep, is_runner, GROUP, "runner") == []


@pytest.mark.parametrize("name", NAMES)
def test_a_launcher_is_one_of_hydras(name):
    launcher = instantiate(node(name))
    assert type(launcher).__name__ == "SweepLauncher"
    assert all("=" in override for override in launcher._runner.overrides)


@pytest.mark.parametrize("runner", NAMES, indirect=True)
def test_each_job_ends_once_and_is_not_repeated(runner, tmp_path):
    good, bad = both = jobs(runner, tmp_path, 2)
    (tmp_path / "sweep" / "stablereinforce-1").write_text("break")
    assert sorted(job.folder for job in runner.run(both)) == sorted(job.folder for job in both)
    assert good.state is State.FINISHED
    assert (bad.state, bad.end["reason"]) == (State.FAILED, "ValueError: it broke")
    assert [job.folder for job in runner.run([good])] == [good.folder]
    assert good.console.read_text().count("toy run") == 1
    assert list(runner.run([])) == []


@pytest.mark.parametrize("name", [name for name in NAMES if TAKEN[name] & {"address", "cluster"}])
def test_without_its_cluster_it_says_so_in_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no program of a scheduler
    built = node(name).runner
    if "address" in TAKEN[name]:
        built.address = "http://127.0.0.1:9"
    runner = instantiate(built)
    with pytest.raises(ConfigError, match=r"hydra[./]launcher") as raised:
        list(runner.run(jobs(runner, tmp_path, 1)))
    assert "\n" not in str(raised.value)
