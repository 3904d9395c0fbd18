"""Design of the study: every variant in every setting with every seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from r1reward.config.compose import compose_config
from r1reward.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Run:
    """One run: an experiment of conf/experiment in a setting of conf/ablation.yaml.

    Attributes:
        variant: name of the experiment.
        setting: name of the setting.
        seed: of prompts and draws.
        overrides: of the training configuration, in Hydra's grammar.
        easy: share of training pairs that the start model mostly gets right, the rest being ones
            that it mostly gets wrong; None takes all pairs as they are.
    """

    variant: str
    setting: str
    seed: int
    overrides: tuple[str, ...]
    easy: float | None

    @property
    def file(self) -> str:
        """Name of the run's file."""
        return f"{self.setting}.{self.variant}.{self.seed}.jsonl"

    def config(self) -> DictConfig:
        """Return the run's training configuration, resolved."""
        config = compose_config(list(self.overrides))
        OmegaConf.resolve(config)
        return config

    def header(self) -> dict[str, object]:
        """Return what identifies the run, as JSON gives it back."""
        return {
            "variant": self.variant,
            "setting": self.setting,
            "seed": self.seed,
            "overrides": list(self.overrides),
            "easy": self.easy,
        }


def runs_of(given: Mapping[str, Any]) -> list[Run]:
    """Return the runs of ``conf/ablation.yaml``: all of seed 0, then all of seed 1, and so on.

    Raises:
        ConfigError: for a setting that is not there, or no run at all.
    """
    unknown = sorted(set(given["settings"]) - given["stress"].keys())
    if unknown:
        known = ", ".join(given["stress"])
        raise ConfigError(f"settings={unknown}: not in `stress`, which has {known}")
    runs = [
        Run(
            variant,
            setting,
            seed,
            (
                f"experiment={variant}",
                *given["shared"],
                *given["stress"][setting]["overrides"],
                f"run.seed={seed}",
            ),
            given["stress"][setting]["easy"],
        )
        for seed in range(given["seeds"])
        for setting in given["settings"]
        for variant in given["variants"]
    ]
    if not runs:
        raise ConfigError("no run: give variants, settings and seeds")
    return runs


def media_root(config: DictConfig) -> Path:
    """Return the folder that the photos' paths start from."""
    return Path(config.data.media_root)
