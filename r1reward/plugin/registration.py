"""Proof, before training starts, that verl has our algorithms, reward manager and trainer."""

from importlib import import_module
from typing import Any

from r1reward.core.errors import R1RewardError


class RegistrationError(R1RewardError):
    """A name that the configuration uses is missing from verl's registries."""


def assert_registered(config: Any) -> None:
    """Check every name that ``config`` asks verl to look up.

    verl hides errors of its plug-ins, and looks some names up only at the first update: without
    this check a broken installation would be noticed minutes later, or never.

    Raises:
        RegistrationError: naming what is missing and what to do.
    """
    import_module("r1reward.plugin")  # raises here what verl's plug-in loader would hide
    from verl.experimental.reward_loop.reward_manager.registry import REWARD_MANAGER
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY
    from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY

    wanted = [
        ("algorithm.adv_estimator", config.algorithm.adv_estimator, ADV_ESTIMATOR_REGISTRY),
        (
            "actor_rollout_ref.actor.policy_loss.loss_mode",
            config.actor_rollout_ref.actor.policy_loss.loss_mode,
            POLICY_LOSS_REGISTRY,
        ),
        ("trainer.v1.trainer_mode", config.trainer.v1.trainer_mode, TRAINER_REGISTRY),
        ("reward.reward_manager.name", config.reward.reward_manager.name, REWARD_MANAGER),
    ]
    for key, name, registry in wanted:
        if name not in registry:
            raise RegistrationError(
                f"{key}={name} is not registered with verl "
                f"(it has: {', '.join(sorted(registry))}). "
                "Run `make setup` so that the verl.plugins entry point of r1reward is installed "
                "in this environment, on every node."
            )


def registered_in_worker(_worker: Any) -> list[str]:
    """Return the names that a running Ray worker has registered (sent to it by the trainer)."""
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY

    return [*map(str, ADV_ESTIMATOR_REGISTRY), *map(str, POLICY_LOSS_REGISTRY)]
