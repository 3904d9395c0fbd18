"""What conf/ holds, for the tests that go over all of it."""

from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from r1reward.config.compose import CONF, compose_config
from r1reward.config.tree import flatten
from r1reward.tools.gallery import KINDS

FILES = sorted(CONF.rglob("*.yaml"))
# Command -> its experiments.
EXPERIMENTS = {kind.config: kind.names() for kind in KINDS}


def name_of(path: Path) -> str:
    """Return the path below conf/, for the name of a test."""
    return str(path.relative_to(CONF))


def written(path: str) -> dict[str, Any]:
    """Return what a file of conf/ says, its defaults included."""
    return yaml.safe_load((CONF / path).read_text(encoding="utf-8")) or {}


def resolved(*overrides: str, primary: str = "train") -> DictConfig:
    """Return a configuration as a run would see it."""
    config = compose_config(overrides, config_name=primary)
    config.run.dir, config.run.name = "runs/here", "here"
    OmegaConf.resolve(config)
    return config


def keys(*overrides: str, primary: str = "train") -> dict[str, Any]:
    """Return the resolved leaves of a configuration, by dotted key."""
    return flatten(resolved(*overrides, primary=primary))
