"""What every Hydra command shares: unusable input is one message and exit status 2, no trace."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.markup import escape

from r1reward.config import compose as config
from r1reward.config.compose import ConfigError


def run_command(
    name: str, action: Callable[[DictConfig], None], *unusable: type[Exception]
) -> None:
    """Compose ``conf/<name>.yaml`` with the overrides of the command line, and run ``action``.

    Args:
        name: the primary configuration.
        action: takes the resolved configuration.
        unusable: errors that tell a person what to change, beside those of the configuration.

    Raises:
        SystemExit: with status 2 for these errors, 130 when interrupted, or the action's own.
    """
    errors: tuple[type[Exception], ...]
    errors = (HydraException, OmegaConfBaseException, ConfigError, *unusable)

    def resolved(cfg: DictConfig) -> None:
        try:  # here: Hydra reports what leaves this function, and exits with 1
            OmegaConf.resolve(cfg)
            action(cfg)
        except KeyboardInterrupt:
            error("stopped; the same command goes on from here")
            raise SystemExit(130) from None
        except errors as problem:
            _stop(problem)

    config.register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise: Hydra's own report shows its internals
    entry = hydra.main(config_path=str(config.CONF), config_name=name, version_base="1.3")
    try:
        entry(resolved)()
    except errors as problem:
        _stop(problem)


def error(message: str) -> None:
    """Tell a person what went wrong, on the standard error output."""
    show = Console(file=sys.stderr, soft_wrap=True, highlight=False)
    show.print(f"[red]error[/] {escape(message)}")


def _stop(problem: Exception) -> NoReturn:
    text = str(problem)
    error(text.splitlines()[0] if isinstance(problem, OmegaConfBaseException) else text)
    raise SystemExit(2)
