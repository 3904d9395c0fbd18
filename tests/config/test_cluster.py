"""Machines: every number of GPUs has a profile, and auto takes all that are there."""

import pytest
from support.conf import keys

from r1reward.config import cluster
from r1reward.config.cluster import profile, resolve_cluster


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        (0, ["cluster=cpu"]),
        (1, ["cluster=gpu1"]),
        (2, ["cluster=gpu2"]),
        (3, ["cluster=gpu", "gpus=3"]),
        (7, ["cluster=gpu", "gpus=7"]),
        (8, ["cluster=gpu8"]),
        (16, ["cluster=gpu", "gpus=16"]),
    ],
)
def test_all_gpus_are_taken(gpus: int, expected: list[str], monkeypatch) -> None:
    assert profile(gpus) == expected
    monkeypatch.setattr(cluster, "count_gpus", lambda: gpus)
    assert resolve_cluster(["a=1"]) == ["a=1", *expected]
    assert resolve_cluster(["cluster=auto", "a=1"]) == ["a=1", *expected]


def test_what_is_given_wins(monkeypatch) -> None:
    monkeypatch.setattr(cluster, "count_gpus", lambda: 8)
    assert resolve_cluster(["cluster=gpu8", "a=1"]) == ["cluster=gpu8", "a=1"]
    assert resolve_cluster(["cluster=auto", "cluster=cpu"]) == ["cluster=auto", "cluster=cpu"]
    assert resolve_cluster(["gpus=4", "a=1"]) == ["a=1", "cluster=gpu", "gpus=4"]
    assert resolve_cluster(["gpus=2", "a=1"]) == ["a=1", "cluster=gpu2"]


@pytest.mark.parametrize("gpus", [1, 3, 6])
def test_processes_follow_the_number_of_gpus(gpus: int) -> None:
    found = keys("cluster=gpu", f"gpus={gpus}")
    assert found["trainer.n_gpus_per_node"] == gpus
    assert found["actor_rollout_ref.rollout.agent.num_workers"] == 4 * gpus
    assert found["reward.num_workers"] == gpus
    assert found["transfer_queue.backend.SimpleStorage.num_data_storage_units"] == gpus
    assert keys("cluster=gpu", f"gpus={gpus}", primary="sft")["trainer.n_gpus_per_node"] == gpus


def test_a_profile_of_a_number_is_the_general_one_with_that_number() -> None:
    named, general = keys("cluster=gpu2"), keys("cluster=gpu", "gpus=2", "hardware=h200")
    assert named == general


@pytest.mark.parametrize("name", ["cpu", "gpu1", "gpu8"])
def test_a_cold_start_computes_as_reinforcement_does(name: str) -> None:
    ours, rl = keys(f"cluster={name}", primary="sft"), keys(f"cluster={name}")
    for node, theirs in (
        ("model.enable_gradient_checkpointing", "actor_rollout_ref.model"),
        ("model.override_config.attn_implementation", "actor_rollout_ref.model"),
        ("model.use_remove_padding", "actor_rollout_ref.model"),
        ("engine.mixed_precision.param_dtype", "actor_rollout_ref.actor.fsdp_config"),
        ("engine.use_torch_compile", "actor_rollout_ref.actor.fsdp_config"),
        ("trainer.device", "trainer"),
        ("trainer.n_gpus_per_node", "trainer"),
    ):
        assert ours[node] == rl[f"{theirs}.{node.partition('.')[2]}"], node
