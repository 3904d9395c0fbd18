"""The plug-in is found by verl in every process, and its absence is noticed before training."""

import os
import sys

import pytest
import ray

from r1reward.config.compose import compose_config
from r1reward.plugin.registration import RegistrationError, assert_registered


def registries() -> dict[str, list[str]]:
    """What a process that only says ``import verl`` knows; runs in a Ray worker."""
    import verl  # noqa: F401
    from verl.experimental.reward_loop.reward_manager.registry import REWARD_MANAGER
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY
    from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY

    return {
        "advantage": [*map(str, ADV_ESTIMATOR_REGISTRY)],
        "loss": [*POLICY_LOSS_REGISTRY],
        "reward": [*REWARD_MANAGER],
        "trainer": [*TRAINER_REGISTRY],
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A small Ray cluster whose workers get nothing but this process's environment."""
    assert not any(name.startswith("VERL_USE_EXTERNAL") for name in os.environ)
    # Ray would import this file in the worker, where it is not on the path.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=100_000_000)
    yield
    ray.shutdown()


def test_a_ray_worker_has_everything_registered(cluster) -> None:
    found = ray.get(ray.remote(registries).remote())
    assert "stable_reinforce" in found["advantage"]
    assert "stable_reinforce" in found["loss"]
    assert "r1_reward" in found["reward"]
    assert "r1_sync" in found["trainer"]


@pytest.mark.parametrize("experiment", ["stablereinforce", "grpo"])
def test_what_experiments_ask_for_is_registered(experiment) -> None:
    assert_registered(compose_config([f"experiment={experiment}", "cluster=cpu"]))


@pytest.mark.parametrize(
    "key",
    [
        "algorithm.adv_estimator",
        "actor_rollout_ref.actor.policy_loss.loss_mode",
        "trainer.v1.trainer_mode",
        "reward.reward_manager.name",
    ],
)
def test_a_name_that_is_not_registered_is_a_loud_error(key) -> None:
    config = compose_config(["cluster=cpu", f"{key}=no_such_name"])
    with pytest.raises(RegistrationError, match=f"{key}=no_such_name.*make setup"):
        assert_registered(config)
