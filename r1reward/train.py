"""Train a reward model: ``r1reward train experiment=stablereinforce``.

Every Hydra flag works: ``-m`` for a sweep, ``--cfg job`` to print, ``key=value`` to override.
"""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from r1reward.cli.command import run_command


def finalize(cfg: DictConfig, group: str = "experiment") -> None:
    """Fill in directory, name and tags, and resolve: a run's processes cannot (no ``hydra:``).

    Args:
        cfg: the configuration, changed in place.
        group: whose choice is the name.
    """
    hydra_config: Any = HydraConfig.get()
    choices = hydra_config.runtime.choices
    groups = [group, *(group.replace("experiment", name) for name in ("model", "data", "cluster"))]
    with open_dict(cfg):
        cfg.run.dir = str(Path(hydra_config.runtime.output_dir).resolve())
        cfg.run.name = str(choices[group])
        cfg.run.tags = [*(str(choices[name]) for name in groups), *cfg.run.tags]
    OmegaConf.resolve(cfg)


def _train(cfg: DictConfig) -> float:
    from r1reward.launch.run import launch

    return launch(cfg)


def main() -> None:
    """Run the command line."""
    run_command("train", _train, prepare=finalize, cluster="cluster")


if __name__ == "__main__":
    main()
