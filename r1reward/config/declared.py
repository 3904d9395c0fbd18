"""Keys that somebody declares: an experiment, sweep or preset may set them, and no others."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from omegaconf import DictConfig

from r1reward.config.compose import compose_config, groups
from r1reward.config.tree import flatten
from r1reward.core.errors import ConfigError

# They hold differences; every other group declares keys of its own.
_DIFFERENCES = ("experiment", "sweep", "debug")
# Nodes that hold whatever others take: vLLM, a model's class, processes.
_OPEN = {"engine_kwargs", "override_config", "env_vars"}


def check_declared(
    cfg: DictConfig, name: str, choices: Mapping[str, str | None], overrides: Sequence[str]
) -> None:
    """Refuse a key that is set by an experiment, a sweep or a preset, and that nothing declares.

    Hydra refuses an unknown key of the command line only; in a file it would change nothing.

    Args:
        cfg: the composed configuration, not resolved.
        name: the primary configuration.
        choices: the option that was chosen of each group.
        overrides: the command line; ``+key=value`` declares its key.

    Raises:
        ConfigError: naming the key, and one like it.
    """
    chosen = [
        f"{group}={choices[group]}"
        for group in groups(name)
        if group in choices and group not in _DIFFERENCES
    ]
    places = [item for item in overrides if item.startswith("hydra.searchpath=")]
    known = flatten(compose_config([*chosen, "~experiment", *places], config_name=name))
    given = {item.lstrip("+").partition("=")[0] for item in overrides} - set(choices)
    for key in flatten(cfg):
        if key in known or _OPEN & set(key.split(".")) or _below(key, given):
            continue
        files = [f"{group}={choices[group]}" for group in _DIFFERENCES if choices.get(group)]
        like = get_close_matches(key, known, n=1)
        hint = f"did you mean {like[0]}?" if like else "remove it, or declare it in a group."
        raise ConfigError(f"{', '.join(files)}: {key} is no key of conf/{name}.yaml; {hint}")


def _below(key: str, parents: Iterable[str]) -> bool:
    return any(key == parent or key.startswith(f"{parent}.") for parent in parents)
