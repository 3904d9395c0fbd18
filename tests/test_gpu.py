"""On GPUs: the same code and experiments as on the CPU. `make test-gpu` runs these."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.training import MODEL, only_run
from transformers import AutoModelForImageTextToText, AutoProcessor

from r1reward.config.compose import REPO
from r1reward.eval.compare import read_run
from r1reward.machine.gpus import count_gpus
from r1reward.store.rundir import RunDir

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not count_gpus(), reason="needs a GPU")]
SMALL = (
    "experiment=stablereinforce",
    "logging=local",
    "data.train_batch_size=16",
    "actor_rollout_ref.actor.ppo_mini_batch_size=8",
    "data.val_max_samples=16",
    "data.save_every=1",
    # Room for several of these engines on one GPU.
    "actor_rollout_ref.rollout.gpu_memory_utilization=0.1",
    # A short run never earns back the time of capturing graphs.
    "actor_rollout_ref.rollout.enforce_eager=true",
)
FIRST = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
two_gpus = pytest.mark.skipif(count_gpus() < 2, reason="needs two GPUs")


def started(module: str, *overrides: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *overrides],
        cwd=REPO,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["gpu1", pytest.param("gpu2", marks=two_gpus)])
def trained(request, tmp_path_factory) -> RunDir:
    """One step, and a second one by a run that goes on from its checkpoint; then the export.

    On two GPUs the actor is sharded over NCCL, and each has an engine of its own.
    """
    root = tmp_path_factory.mktemp("runs")
    given = (*SMALL, f"cluster={request.param}", f"run.root={root}")
    started("r1reward.train", *given, "data.steps=1", "run.export=false")
    started("r1reward.train", *given, "data.steps=2", f"resume={only_run(root).root}")
    return only_run(root)


def test_a_run_is_saved_and_goes_on_from_its_checkpoint(trained: RunDir) -> None:
    starts = [row for row in trained.rows("event") if row["event"] == "started"]
    assert [row["resumed_from"] for row in starts] == [0, 1]
    assert [row["step"] for row in trained.rows("train")] == [1, 2]
    assert trained.latest_step() == 2


def agrees(run: RunDir) -> None:
    """Engine and actor score the sampled tokens alike, in half precision, at every step.

    A stale or blind engine differs by more.
    """
    for row in run.rows("train"):
        assert row["metrics"]["training/rollout_probs_diff_mean"] < 0.01
        assert row["metrics"]["training/rollout_actor_probs_pearson_corr"] > 0.99
        assert all(math.isfinite(row["metrics"][f"actor/{name}"]) for name in ("pg_loss", "lr"))


def test_the_engine_is_asleep_while_the_actor_trains_and_holds_its_weights(trained: RunDir) -> None:
    agrees(trained)


def test_the_export_is_a_hugging_face_model_that_has_learned(trained: RunDir) -> None:
    AutoProcessor.from_pretrained(trained.model)
    model = AutoModelForImageTextToText.from_pretrained(trained.model)
    start = AutoModelForImageTextToText.from_pretrained(MODEL)
    pairs = zip(model.parameters(), start.parameters(), strict=True)
    changed = [not torch.equal(new.float(), old.float()) for new, old in pairs]
    assert sum(changed) > 0.9 * len(changed)  # a step may be too small for a weight in bfloat16


def test_transformers_and_the_engine_judge_alike(tmp_path: Path) -> None:
    found = {}
    for judge, more in (("hf", ()), ("vllm", ("+judge.engine.gpu_memory_utilization=0.1",))):
        out = tmp_path / judge
        given = ("benchmark=photos", f"judge={judge}", "protocol.max_tokens=64", f"run.dir={out}")
        started("r1reward.eval.run", *given, *more)
        found[judge] = read_run(out).results["score"]["overall"]["accuracy"]
    assert found["hf"]["n"] == found["vllm"]["n"]
    assert found["vllm"]["value"] == pytest.approx(found["hf"]["value"], abs=0.02)


def test_verl_hosts_the_consistency_check_on_the_same_gpu(tmp_path: Path) -> None:
    """Two pools of one GPU each, which are the same one here; the tiny model checks itself."""
    started(
        "r1reward.train",
        *(*SMALL, "cluster=gpu1", f"run.root={tmp_path}", "data.steps=1", "run.export=false"),
        *("consistency=hosted", f"consistency.model={MODEL}", "consistency.retries=0"),
        *("trainer.val_before_train=false", "data.validate_every=-1"),
        *("run.consistency_guard.max_failure_rate=null", "ray_kwargs.ray_init.num_gpus=2"),
        "reward.reward_model.rollout.gpu_memory_utilization=0.1",
        "reward.reward_model.rollout.max_model_len=4096",
        CUDA_VISIBLE_DEVICES=f"{FIRST},{FIRST}",
    )
    run = only_run(tmp_path)
    (metrics,) = (row["metrics"] for row in run.rows("train"))
    rows = [json.loads(line) for line in (run.root / "rollouts" / "1.jsonl").open()]
    assert metrics["consistency/checked"] == sum(row["checked"] for row in rows) > 0
    assert metrics["consistency/calls"] > 0
    assert all(row["consistency_failure_kind"] in ("", "unparsed") for row in rows)


@two_gpus
def test_one_engine_over_two_gpus_gets_the_weights_of_a_sharded_actor(tmp_path: Path) -> None:
    started(
        "r1reward.train",
        *(*SMALL, "cluster=gpu2", f"run.root={tmp_path}", "data.steps=2", "run.export=false"),
        *("trainer.val_before_train=false", "data.validate_every=-1"),
        "actor_rollout_ref.rollout.tensor_model_parallel_size=2",
    )
    run = only_run(tmp_path)
    assert [row["step"] for row in run.rows("train")] == [1, 2]
    agrees(run)
