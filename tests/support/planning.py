"""Configurations and plans of the published models on known hardware."""

from collections.abc import Sequence
from functools import cache

import yaml
from omegaconf import DictConfig, OmegaConf

from r1reward.config.compose import compose_config
from r1reward.plan import Plan, gpu, load_settings, plan_training

SEVEN, THREE = (f"Qwen/Qwen2.5-VL-{size}-Instruct" for size in ("7B", "3B"))
GPU8 = ("cluster=gpu8", "model=qwen2_5_vl_7b", "data=r1_reward_rl")
SETTINGS = load_settings()
ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
LOG_PROBS = f"{ROLLOUT}.log_prob_max_token_len_per_gpu"


@cache
def composed(*overrides: str) -> DictConfig:
    cfg = compose_config(overrides)
    cfg.run.dir = "x"
    OmegaConf.resolve(cfg)
    return cfg


def configured(*overrides: str, base: Sequence[str] = GPU8) -> DictConfig:
    """The base with keys changed, faster than composing it again."""
    cfg = composed(*base).copy()
    for override in overrides:
        key, _, value = override.partition("=")
        OmegaConf.update(cfg, key, yaml.safe_load(value))
    return cfg


@cache
def cold_start(gpus: int) -> DictConfig:
    given = ("model=qwen2_5_vl_7b", "cluster=gpu8", "data=reasoning")
    cfg = compose_config([*given, f"gpus={gpus}"], config_name="sft")
    cfg.run.dir = "x"
    OmegaConf.resolve(cfg)
    return cfg


def plan(*overrides: str, hardware: str = "h100") -> Plan:
    return plan_training(configured(*overrides), gpu(hardware), SETTINGS)


def total(planned: Plan, phase: str) -> float:
    return sum(planned.bytes[phase].values())
