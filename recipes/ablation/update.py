"""One reinforcement learning step's arithmetic: advantages, minibatches, loss, optimizer.

As verl does it (trainer/ppo/ray_trainer.py, workers/engine_workers.py, workers/utils/losses.py),
on one device and without its engines; ``tests/recipes/test_ablation_verl.py`` compares the two.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import log

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor
from transformers import PreTrainedModel
from verl.trainer.ppo.core_algos import (
    agg_loss,
    get_adv_estimator_fn,
    get_policy_loss_fn,
    kl_penalty,
)
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.torch_functional import get_cosine_schedule_with_warmup
from verl.workers.config.optimizer import build_optimizer

from r1reward import algorithms
from r1reward.recipes.ablation.policy import Batch, Samples, log_probs

algorithms.discover()
_PRECLIP = log(1e3)  # the paper's bounds of Pre-CLIP, counted for algorithms without it too


@dataclass(frozen=True, slots=True)
class Rollout:
    """Responses with what the update needs; P prompts, n samples, T tokens."""

    prompts: Batch
    samples: Samples
    advantages: Tensor  # f32, [P, n, T]
    reference: Tensor | None  # f32, [P, n, T]: log-probabilities of the start model

    def rows(self, start: int, end: int) -> "Rollout":
        """Return the prompts from ``start`` to before ``end``, with their samples."""
        prompts, samples = self.prompts, self.samples
        patches = prompts.grid.prod(-1)
        first, last = int(patches[:start].sum()), int(patches[:end].sum())
        part = replace(
            prompts,
            ids=prompts.ids[start:end],
            mask=prompts.mask[start:end],
            positions=prompts.positions[:, start:end],
            patches=prompts.patches[first:last],
            grid=prompts.grid[start:end],
        )
        drawn = Samples(
            samples.ids[start:end], samples.mask[start:end], samples.log_probs[start:end]
        )
        reference = None if self.reference is None else self.reference[start:end]
        return Rollout(part, drawn, self.advantages[start:end], reference)


def advantages(config: DictConfig, rewards: Tensor, mask: Tensor) -> Tensor:
    """Return the advantages (P, n, T) of one reward a response (P, n), given at its last token."""
    rows, count, tokens = mask.shape
    flat = mask.reshape(-1, tokens)
    token_rewards = torch.zeros(flat.shape, device=mask.device)
    last = flat.sum(-1, keepdim=True) - 1
    token_rewards.scatter_(1, last, rewards.reshape(-1, 1).to(token_rewards))
    estimate = get_adv_estimator_fn(config.algorithm.adv_estimator)
    found, _ = estimate(
        token_level_rewards=token_rewards,
        response_mask=flat.long(),
        config=config.algorithm,
        index=np.arange(rows).repeat(count),
    )
    return found.reshape(mask.shape)


class Learner:
    """Model and optimizer of one run.

    Attributes:
        model: the policy, changed in place.
    """

    def __init__(self, model: PreTrainedModel, config: DictConfig) -> None:
        if config.algorithm.use_kl_in_reward and config.algorithm.kl_ctrl.kl_coef:
            raise ValueError("the plain loop has no KL in the reward; set kl_ctrl.kl_coef=0")
        self.model = model
        self._temperature = config.actor_rollout_ref.rollout.temperature
        self._actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
        optim = self._actor.optim
        self._optimizer = build_optimizer(model.parameters(), optim)
        self._schedule = get_cosine_schedule_with_warmup(
            self._optimizer,
            num_warmup_steps=0,
            num_training_steps=config.data.steps,
            min_lr_ratio=optim.min_lr_ratio,
            num_cycles=optim.num_cycles,
            zero_indexed_step=optim.zero_indexed_step,
        )

    @property
    def needs_reference(self) -> bool:
        """Whether the loss holds a KL term to the start model."""
        return bool(self._actor.use_kl_loss)

    def update(self, rollout: Rollout) -> Iterator[dict[str, float]]:
        """Make all updates of one step; yield each one's metrics, loss and norm among them."""
        size, prompts = self._actor.ppo_mini_batch_size, len(rollout.samples.ids)
        for _ in range(self._actor.ppo_epochs):
            for start in range(0, prompts, size):
                yield self._minibatch(rollout.rows(start, start + size))
        self._schedule.step()

    def _minibatch(self, rollout: Rollout) -> dict[str, float]:
        self._optimizer.zero_grad()
        values = log_probs(self.model, rollout.prompts, rollout.samples, self._temperature)
        loss, metrics = self.loss(values, rollout)
        loss.backward()
        limit = self._actor.optim.clip_grad
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        if torch.isfinite(norm):  # verl skips the others
            self._optimizer.step()
        moved = (values.detach() - rollout.samples.log_probs)[rollout.samples.mask]
        return {
            **metrics,
            "loss": float(loss.detach()),
            "grad_norm": float(norm),
            "log_ratio_max": float(moved.abs().max()),
            "preclipped": float((moved.abs() > _PRECLIP).float().mean()),
        }

    def loss(self, values: Tensor, rollout: Rollout) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of log-probabilities (P, n, T), and the metrics of its function."""
        actor, width = self._actor, values.shape[-1]
        mask = rollout.samples.mask.reshape(-1, width)
        actor.global_batch_info.update(
            dp_size=1,
            batch_num_tokens=int(mask.sum()),
            global_batch_size=len(mask),
            loss_scale_factor=actor.loss_scale_factor,
        )
        loss, metrics = get_policy_loss_fn(actor.policy_loss.loss_mode)(
            old_log_prob=rollout.samples.log_probs.reshape(-1, width),
            log_prob=values.reshape(-1, width),
            advantages=rollout.advantages.reshape(-1, width),
            response_mask=mask,
            loss_agg_mode=actor.loss_agg_mode,
            config=actor,
        )
        if rollout.reference is not None:
            divergence = kl_penalty(
                logprob=values.reshape(-1, width),
                ref_logprob=rollout.reference.reshape(-1, width),
                kl_penalty=actor.kl_loss_type,
            )
            loss = loss + actor.kl_loss_coef * agg_loss(
                loss_mat=divergence,
                loss_mask=mask,
                loss_agg_mode=actor.loss_agg_mode,
                **actor.global_batch_info,
            )
        return loss, metrics
