"""verl's real actor update on given responses: ``python verl_update.py IN.pt OUT.pt``.

A process of its own: a worker owns its process group and environment. ``IN.pt`` holds the Hydra
overrides and, by row, what verl's trainer sends to the actor; ``OUT.pt`` gets metrics and weights.
"""

import os
import socket
import sys
from typing import Any

import r1reward.plugin  # noqa: F401 - before verl's workers: it names the platform

# isort: split
import torch
from omegaconf import DictConfig, OmegaConf
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.ppo.ray_trainer import compute_advantage
from verl.utils import tensordict_utils as tu
from verl.workers.engine_workers import ActorRolloutRefWorker

from r1reward.config.compose import compose_config


def advantages_of(given: dict[str, Any], algorithm: DictConfig) -> torch.Tensor:
    """What verl's trainer makes of token rewards and response mask."""
    data = DataProto.from_dict(
        {"token_level_rewards": given["rewards"], "response_mask": given["mask"].long()},
        {"uid": given["prompt"]},
    )
    return compute_advantage(
        data, algorithm.adv_estimator, gamma=algorithm.gamma, lam=algorithm.lam,
        norm_adv_by_std_in_grpo=algorithm.norm_adv_by_std_in_grpo, config=algorithm,
    ).batch["advantages"]  # fmt: skip


def worker_of(config: DictConfig) -> ActorRolloutRefWorker:
    """verl's actor worker, alone in its process group."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    os.environ.update(
        RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=port
    )
    config.actor_rollout_ref.actor.optim.total_training_steps = config.data.steps
    worker = ActorRolloutRefWorker(config.actor_rollout_ref, role="actor")
    worker.init_model()
    return worker


def main(source: str, target: str) -> None:
    given = torch.load(source, weights_only=False)
    torch.set_num_threads(1)
    config = compose_config(given["overrides"])
    OmegaConf.resolve(config)
    advantages = advantages_of(given, config.algorithm)
    rows = [
        {**row, "advantages": row_advantages[: len(row["responses"])]}
        for row, row_advantages in zip(given["rows"], advantages, strict=True)
    ]
    actor, n = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout.n
    data: TensorDict = tu.list_of_dict_to_tensordict(rows)
    tu.assign_non_tensor(
        data,
        calculate_entropy=False,
        global_batch_size=actor.ppo_mini_batch_size * n,
        mini_batch_size=actor.ppo_mini_batch_size * n,
        epochs=actor.ppo_epochs,
        seed=actor.data_loader_seed,
        dataloader_kwargs={"shuffle": actor.shuffle},
        temperature=config.actor_rollout_ref.rollout.temperature,
    )
    worker = worker_of(config)
    output = worker.update_actor(data)
    module = worker.actor.engine.module
    weights = {name: value.full_tensor() for name, value in module.state_dict().items()}
    torch.save(
        {"advantages": advantages, "metrics": tu.get(output, "metrics"), "weights": weights},
        target,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
