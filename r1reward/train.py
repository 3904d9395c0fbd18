"""Train a reward model: ``r1reward train experiment=stablereinforce``.

Every Hydra flag works: ``-m`` for a sweep, ``--cfg job`` to print, ``key=value`` to override.
"""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from r1reward.cli.command import run_command
from r1reward.config.declared import check_declared

_TAGS = ("experiment", "model", "data", "cluster")  # groups whose choices are a run's tags


def finalize(cfg: DictConfig) -> None:
    """Fill in directory, name and tags, and resolve: a run's processes cannot (no ``hydra:``).

    Args:
        cfg: the configuration of train.yaml or sft.yaml, changed in place.

    Raises:
        ConfigError: for a key of the experiment that nothing declares.
    """
    hydra_config: Any = HydraConfig.get()
    choices = hydra_config.runtime.choices
    check_declared(cfg, hydra_config.job.config_name, choices, hydra_config.overrides.task)
    with open_dict(cfg):
        cfg.run.dir = str(Path(hydra_config.runtime.output_dir).resolve())
        cfg.run.name = str(choices["experiment"])
        cfg.run.tags = [*(str(choices[group]) for group in _TAGS), *cfg.run.tags]
    OmegaConf.resolve(cfg)


def _train(cfg: DictConfig) -> float:
    from r1reward.launch.run import launch

    return launch(cfg)


def main() -> None:
    """Run the command line."""
    run_command("train", _train, prepare=finalize, cluster=True)


if __name__ == "__main__":
    main()
