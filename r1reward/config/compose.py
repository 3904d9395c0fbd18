"""Composes the configuration: verl's tree plus ours, without importing verl, torch or ray."""

import hashlib
import importlib.util
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from r1reward.config.objective import objectives as read_objectives
from r1reward.core.errors import ConfigError
from r1reward.machine.gpus import count_gpus
from r1reward.store.rundir import RunDir

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
        key.split()[-1]
        for entry in entries
        if isinstance(entry, dict)
        for key in entry
        if not key.startswith("optional")
    ]
    return {name: sorted(option.stem for option in (CONF / name).glob("*.yaml")) for name in named}


def compose_config(overrides: Sequence[str] = (), *, config_name: str = "train") -> DictConfig:
    """Return the composed configuration of a run, as ``r1reward.train`` (or ``.sft``) would see it.

    Raises:
        hydra.errors.HydraException: for an unknown group, option or key.
    """
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        group = "sft/cluster" if config_name == "sft" else "cluster"
        return compose(config_name, overrides=resolve_cluster(overrides, group))


def verl_defaults(config_name: str = "ppo_trainer") -> DictConfig:
    """Return one of verl's own trees, before any of our groups."""
    with initialize_config_dir(str(_verl_config_dir()), version_base="1.3"):
        return compose(config_name)


def register_resolvers() -> None:
    """Register the resolvers that conf/ uses; safe to call more than once."""
    resolvers: dict[str, Callable[..., Any]] = {
        "verl_config_dir": _verl_config_dir,
        "package_file": lambda path: str(package_file(path)),
        "run_dir": run_dir,
        "sweep_dir": sweep_dir,
        "directions": directions,
        "sum": lambda *numbers: sum(numbers),
    }
    for name, function in resolvers.items():
        OmegaConf.register_new_resolver(name, function, use_cache=True, replace=True)


def resolve_cluster(overrides: Sequence[str], group: str = "cluster") -> list[str]:
    """Return ``overrides`` with ``<group>=auto``, or no such choice, replaced by what is there."""
    chosen = [item for item in overrides if item.startswith(f"{group}=")]
    if chosen and chosen[-1] != f"{group}=auto":
        return list(overrides)
    kept = [item for item in overrides if not item.startswith(f"{group}=")]
    return [*kept, f"{group}={detect_cluster(count_gpus(), group)}"]


def detect_cluster(gpus: int, group: str = "cluster") -> str:
    """Return the largest ``gpu<N>`` profile of ``group`` that ``gpus`` GPUs can run, or ``cpu``."""
    names = [path.stem for path in (CONF / group).glob("*.yaml")]
    sizes = [int(match[1]) for name in names if (match := re.match(r"gpu(\d+)$", name))]
    fitting = [size for size in sizes if size <= gpus]
    return f"gpu{max(fitting)}" if fitting else "cpu"


def run_dir(root: str, experiment: str | None, resume: str | None) -> str:
    """Return the directory of this run: a new one, or the one that ``resume`` names.

    Raises:
        ConfigError: when there is nothing to resume.
    """
    name = experiment or "custom"
    if resume in (None, "null", ""):
        return str(Path(root) / name / time.strftime("%Y%m%d-%H%M%S"))
    if resume != "auto":
        if RunDir(Path(resume)).latest_step() == 0:
            raise ConfigError(f"resume={resume}: no checkpoint below {resume}/checkpoints")
        return str(Path(resume))
    candidates = sorted((Path(root) / name).glob("*/"), reverse=True)
    for candidate in candidates:
        run = RunDir(candidate)
        if run.latest_step() > 0 and not run.finished():
            return str(candidate)
    raise ConfigError(
        f"resume=auto: no unfinished run with a checkpoint below {Path(root) / name}; "
        "start a new one without resume"
    )


def sweep_dir(root: str, name: str | None, overrides: Sequence[str]) -> str:
    """Return the folder of a sweep: of the same name, or of the same overrides, the same."""
    if name in (None, "null"):
        kept = sorted(item for item in overrides if not item.startswith("sweep."))
        name = "overrides-" + hashlib.sha256("\0".join(kept).encode()).hexdigest()[:8]
    return str(Path(root) / "sweeps" / name)


def directions(objectives: Sequence[str]) -> list[str]:
    """Return which way each objective of a sweep is better, as optuna wants it."""
    return [objective.direction for objective in read_objectives(objectives)]


def _verl_config_dir() -> Path:
    spec = importlib.util.find_spec("verl")  # finds the package without importing it
    if spec is None or spec.origin is None:
        raise ConfigError("verl is not installed in this environment: run `make setup`")
    return Path(spec.origin).parent / "trainer" / "config"
