"""The contract of an algorithm: every option of conf/algorithm, and every module that has code.

The estimator runs through verl's own ``compute_advantage`` and the loss through verl's registry,
with the configuration that training would have.
"""

import math
from functools import cache
from pkgutil import iter_modules

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from support.contracts import options
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.ppo.core_algos import (
    ADV_ESTIMATOR_REGISTRY,
    POLICY_LOSS_REGISTRY,
    get_policy_loss_fn,
)
from verl.trainer.ppo.ray_trainer import compute_advantage
from verl.utils.config import omega_conf_to_dataclass

from r1reward import algorithms
from r1reward.config.compose import compose_config

NAMES = options("algorithm")
PROMPTS, SAMPLES, TOKENS = 4, 4, 6


@cache
def composed(name):
    algorithms.discover()
    config = compose_config([f"algorithm={name}", "cluster=cpu"])
    OmegaConf.resolve(config)
    return config


def toy_batch() -> DataProto:
    """Rewards 0, 0.5, 1.5 and 2 at the end of responses of 1 to 6 tokens; one row is padding."""
    rows, draw = PROMPTS * SAMPLES, torch.Generator().manual_seed(0)
    lengths = torch.randint(1, TOKENS + 1, (rows,), generator=draw)
    lengths[-1] = 0
    mask = (torch.arange(TOKENS) < lengths[:, None]).long()
    rewards = torch.zeros(rows, TOKENS)
    for row, length in enumerate(lengths.tolist()):
        if length:
            rewards[row, length - 1] = (0.0, 0.5, 1.5, 2.0)[row % 4]
    batch = TensorDict({"token_level_rewards": rewards, "response_mask": mask}, batch_size=rows)
    uids = np.array([f"p{row // SAMPLES}" for row in range(rows)], dtype=object)
    return DataProto(batch=batch, non_tensor_batch={"uid": uids})


def advantages(name) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages and mask of the toy batch, as the trainer has them."""
    config = composed(name).algorithm
    data = compute_advantage(
        toy_batch(),
        adv_estimator=config.adv_estimator,
        gamma=config.gamma,
        lam=config.lam,
        num_repeat=SAMPLES,
        norm_adv_by_std_in_grpo=config.norm_adv_by_std_in_grpo,
        config=config,
    )
    return data.batch["advantages"], data.batch["response_mask"]


def test_every_module_registers_something_that_an_option_names():
    configs = [composed(name) for name in NAMES]
    named = {config.algorithm.adv_estimator for config in configs}
    named |= {config.actor_rollout_ref.actor.policy_loss.loss_mode for config in configs}
    registered = [*ADV_ESTIMATOR_REGISTRY.items(), *POLICY_LOSS_REGISTRY.items()]
    used = {function.__module__ for name, function in registered if str(name) in named}
    modules = [one.name for one in iter_modules(algorithms.__path__, f"{algorithms.__name__}.")]
    assert "r1reward.algorithms.stable_reinforce" in modules
    assert [name for name in modules if name not in used] == []


@pytest.mark.parametrize("name", NAMES)
def test_verl_knows_the_estimator_and_the_loss(name):
    config = composed(name)
    assert config.algorithm.adv_estimator in ADV_ESTIMATOR_REGISTRY
    assert config.actor_rollout_ref.actor.policy_loss.loss_mode in POLICY_LOSS_REGISTRY


@pytest.mark.parametrize("name", NAMES)
def test_advantages_are_finite_and_zero_outside_the_responses(name):
    found, mask = advantages(name)
    assert found.shape == mask.shape
    assert torch.isfinite(found).all()
    assert not found[mask == 0].any()
    assert found[mask == 1].any(), "it learns something from different rewards"


@pytest.mark.parametrize("name", NAMES)
def test_better_answers_have_the_larger_advantage(name):
    """A row's first token, of the best and of the worst reward."""
    found, mask = advantages(name)
    best = torch.arange(len(found)) % 4 == 3
    worst = torch.arange(len(found)) % 4 == 0
    valid = mask[:, 0] == 1
    assert found[best & valid, 0].mean() > found[worst & valid, 0].mean()


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_finite_and_raises_what_was_good(name):
    found, mask = advantages(name)
    actor = omega_conf_to_dataclass(composed(name).actor_rollout_ref.actor)
    old = torch.full_like(found, math.log(0.5))
    new = old.clone().requires_grad_()
    loss, metrics = get_policy_loss_fn(actor.policy_loss.loss_mode)(
        old_log_prob=old,
        log_prob=new,
        advantages=found,
        response_mask=mask.bool(),
        loss_agg_mode=actor.loss_agg_mode,
        config=actor,
        rollout_is_weights=None,
    )
    loss.backward()
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    assert torch.isfinite(new.grad).all()
    assert all(map(math.isfinite, metrics.values()))
    assert torch.equal(new.grad != 0, found != 0), "a token without advantage has no gradient"
    assert torch.equal(new.grad.sign(), -found.sign()), "the probability of a good token rises"
