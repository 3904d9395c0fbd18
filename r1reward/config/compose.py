"""Composition of the configuration from verl's tree and ours, without verl, torch or ray."""

import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from r1reward.config.cluster import resolve_cluster
from r1reward.config.directories import run_dir, sweep_dir
from r1reward.config.objective import directions
from r1reward.core.errors import ConfigError

PACKAGE = Path(__file__).parent.parent  # with conf, recipes, tools and eval in it, installed or not
CONF = PACKAGE / "conf"
REPO = PACKAGE.parent


def package_file(path: str) -> Path:
    """Return a file or folder that comes with the package: ``recipes/photos``, for instance."""
    return (PACKAGE / path).resolve()


def checkout() -> Path:
    """Return the root of the checkout.

    Raises:
        ConfigError: when the package is installed without one.
    """
    if not (REPO / "pyproject.toml").is_file():
        raise ConfigError("this writes files of the repository: run it in a checkout")
    return REPO


def groups(config_name: str = "train") -> dict[str, list[str]]:
    """Return the groups that ``conf/<config_name>.yaml`` chooses from, with their options."""
    text = (CONF / f"{config_name}.yaml").read_text(encoding="utf-8")
    entries = yaml.safe_load(text).get("defaults", [])
    # An optional entry follows another group's choice.
    named = [
        key.split()[-1].partition("@")[0]
        for entry in entries
        if isinstance(entry, dict)
        for key in entry
        if not key.startswith("optional")  # it follows another group's choice
    ]
    return {name: sorted(option.stem for option in (CONF / name).glob("*.yaml")) for name in named}


def compose_config(overrides: Sequence[str] = (), *, config_name: str = "train") -> DictConfig:
    """Return ``conf/<config_name>.yaml`` with overrides, as its command would see it.

    Raises:
        hydra.errors.HydraException: for an unknown group, option or key.
    """
    register_resolvers()
    if "cluster" in groups(config_name):
        overrides = resolve_cluster(overrides)
    with _composing(CONF):
        return compose(config_name, overrides=list(overrides))


def verl_defaults(config_name: str = "ppo_trainer") -> DictConfig:
    """Return one of verl's own trees, before any of our groups."""
    with _composing(Path(_verl_dir(), "trainer", "config")):
        return compose(config_name)


@contextmanager
def _composing(folder: Path) -> Iterator[None]:
    """Compose from ``folder``, also within a command that Hydra runs: it initializes only once."""
    running = GlobalHydra.instance()
    kept, running.hydra = running.hydra, None
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = kept


def register_resolvers() -> None:
    """Register the resolvers that conf/ uses; safe to call more than once."""
    resolvers: dict[str, Callable[..., Any]] = {
        "verl_dir": _verl_dir,
        "package_file": lambda path: str(package_file(path)),
        "run_dir": run_dir,
        "sweep_dir": sweep_dir,
        "directions": directions,
        "sum": lambda *numbers: sum(numbers),
        "product": lambda *numbers: math.prod(numbers),
    }
    for name, function in resolvers.items():
        OmegaConf.register_new_resolver(name, function, use_cache=True, replace=True)


def _verl_dir() -> str:
    spec = importlib.util.find_spec("verl")  # finds the package without importing it
    if spec is None or spec.origin is None:
        raise ConfigError("verl is not installed in this environment: run `make setup`")
    return str(Path(spec.origin).parent)
