"""Entry of every Hydra command; an input error is one message and exit status 2."""

import errno
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.markup import escape

from r1reward.config.cluster import resolve_cluster
from r1reward.config.compose import CONF, register_resolvers
from r1reward.config.secrets import shown
from r1reward.core.errors import UserError

_MULTIRUN = {"-m", "--multirun"}
_UNUSABLE = (HydraException, OmegaConfBaseException, UserError)
_DISK = {
    errno.EACCES: "no permission; change it, or choose another folder",
    errno.EDQUOT: "the quota is used up; free some space, or choose another folder",
    errno.ENOSPC: "the disk is full; free some space, or choose another folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder; choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
}


def run_command(
    name: str,
    action: Callable[[DictConfig], float | None],
    *,
    prepare: Callable[[DictConfig], None] = OmegaConf.resolve,
    cluster: bool = False,
) -> None:
    """Compose ``conf/<name>.yaml`` with the overrides of the command line, and run ``action``.

    Args:
        name: the primary configuration.
        action: takes the prepared configuration; what it returns is a sweep's to read.
        prepare: completes and resolves the configuration, in place.
        cluster: whether ``cluster=auto``, or no choice, becomes what this machine has.

    Raises:
        SystemExit: with status 2 for input that cannot be used, 130 when interrupted, or the
            action's own.
    """

    def prepared(cfg: DictConfig) -> float | None:
        with user_errors():  # here: Hydra reports what leaves this function, and exits with 1
            prepare(cfg)
            return action(cfg)

    register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise: Hydra's own report shows its internals
    with user_errors():
        # Each run of a sweep finds out where it runs.
        if cluster and not _MULTIRUN & set(sys.argv[1:]):
            sys.argv[1:] = resolve_cluster(sys.argv[1:])
        hydra.main(config_path=str(CONF), config_name=name, version_base="1.3")(prepared)()


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn input or a disk that cannot be used into a message and exit status 2.

    An interruption becomes exit status 130.
    """
    try:
        yield
    except KeyboardInterrupt:
        error("stopped; the same command goes on from here")
        raise SystemExit(130) from None
    except _UNUSABLE as problem:
        text = str(problem)
        error(text.splitlines()[0] if isinstance(problem, OmegaConfBaseException) else text)
        raise SystemExit(2) from None
    except OSError as problem:
        if problem.errno not in _DISK:
            raise
        place = f"{problem.filename}: " if problem.filename else ""  # write(2) names no file
        error(place + _DISK[problem.errno])
        raise SystemExit(2) from None


def typed(name: str) -> str:
    """Return the command line of this process as a person types it, without secrets."""
    return shlex.join(["r1reward", name, *map(shown, sys.argv[1:])])


def error(message: str) -> None:
    """Tell a person what went wrong, on the standard error output."""
    show = Console(file=sys.stderr, soft_wrap=True, highlight=False)
    show.print(f"[red]error[/] {escape(message)}")
