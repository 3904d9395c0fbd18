"""Assumptions of a plan beside the training configuration (conf/plan.yaml)."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from r1reward.config.compose import CONF, compose_config


def load_settings(overrides: Sequence[str] = ()) -> DictConfig:
    """Return conf/plan.yaml with overrides of its keys, resolved.

    Raises:
        hydra.errors.HydraException: for an unknown key.
    """
    settings = compose_config(overrides, config_name="plan")
    OmegaConf.resolve(settings)
    return settings


def split_overrides(overrides: Sequence[str], name: str = "plan") -> tuple[list[str], list[str]]:
    """Return the overrides of conf/<name>.yaml, and the others, which are training's."""
    keys: Any = OmegaConf.load(CONF / f"{name}.yaml")
    ours = [item for item in overrides if item.partition("=")[0].partition(".")[0] in keys]
    return ours, [item for item in overrides if item not in ours]
