"""Train a reward model: ``r1reward train experiment=stablereinforce``.

Every Hydra flag works: ``-m`` for a sweep, ``--cfg job`` to print, ``key=value`` to override.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.markup import escape

from r1reward.config import compose as config

_MULTIRUN = {"-m", "--multirun"}


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


@hydra.main(config_path=str(config.CONF), config_name="train", version_base="1.3")
def _main(cfg: DictConfig) -> float:
    finalize(cfg)
    from r1reward.launch.run import launch

    return launch(cfg)


def command(entry: Callable[[], Any], cluster: str = "cluster") -> None:
    """Run a Hydra entry point on the command line; ``auto`` becomes what this machine has.

    Args:
        entry: what ``hydra.main`` made.
        cluster: the group of clusters.

    Raises:
        SystemExit: with status 2 for a configuration that cannot be composed or resolved.
    """
    config.register_resolvers()
    if not _MULTIRUN & set(sys.argv[1:]):  # each run of a sweep finds out where it runs
        sys.argv[1:] = config.resolve_cluster(sys.argv[1:], cluster)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise: Hydra's own report shows its internals
    try:
        entry()
    except KeyboardInterrupt:  # a single run explains itself
        Console(stderr=True).print("[yellow]interrupted[/]; the same command goes on from here")
        raise SystemExit(130) from None
    except (HydraException, OmegaConfBaseException, config.ConfigError) as error:
        omegaconf = isinstance(error, OmegaConfBaseException)
        message = str(error).splitlines()[0] if omegaconf else str(error)
        show = Console(stderr=True, soft_wrap=True, highlight=False)
        show.print(f"[red]error[/] {escape(message)}")
        raise SystemExit(2) from None


def main() -> None:
    """Run the command line."""
    command(_main)


if __name__ == "__main__":
    main()
