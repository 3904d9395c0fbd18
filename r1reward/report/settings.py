"""Origin of a run's settings: defaults, experiment, command line."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from r1reward.config.compose import CONF, compose_config
from r1reward.config.secrets import HIDDEN, is_secret, shown
from r1reward.config.tree import differences
from r1reward.core.errors import ConfigError

Changed = dict[str, tuple[object, object]]


@dataclass(slots=True)
class Settings:
    """What a run is set to.

    Attributes:
        command: of the last start.
        experiment: what the experiment changes: key -> (default, its value), as written.
        given: what the command line changes: key -> (value without, value with).
        text: all of it, as YAML.
        problem: why the differences are not known, in words.
    """

    command: list[str]
    experiment: Changed = field(default_factory=dict)
    given: Changed = field(default_factory=dict)
    text: str = ""
    problem: str = ""


def settings(config: DictConfig, command: Sequence[str]) -> Settings:
    """Take apart a run's resolved configuration.

    Args:
        config: of the run directory.
        command: as it was journaled: ``r1reward``, the command's name, its arguments.
    """
    found = Settings(list(map(shown, command)))
    _, name, *overrides = command  # a command and its configuration share their name
    chosen = [item for item in overrides if (CONF / _key(item)).is_dir()]
    plain = [item for item in chosen if Path(_key(item)).name != "experiment"]
    try:
        base = compose_config(chosen, config_name=name)
        found.experiment = differences(base, compose_config(plain, config_name=name))
        base.run.update({key: config.run[key] for key in ("dir", "name", "tags")})
        OmegaConf.resolve(base)
        found.given = _masked(differences(config, base))
    except (HydraException, OmegaConfBaseException, ConfigError) as error:
        found.problem = str(error).splitlines()[0]
    found.text = OmegaConf.to_yaml(_hide(OmegaConf.to_container(config)))
    return found


def _key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]


def _masked(changed: Changed) -> Changed:
    return {k: (HIDDEN, HIDDEN) if is_secret(k) else pair for k, pair in changed.items()}


def _hide(node: object) -> object:
    if isinstance(node, dict):
        return {k: HIDDEN if v and is_secret(str(k)) else _hide(v) for k, v in node.items()}
    return [_hide(item) for item in node] if isinstance(node, list) else node
