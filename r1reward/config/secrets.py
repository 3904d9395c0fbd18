"""Detection of secrets, which must not reach a run's files or trackers."""

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

from omegaconf import DictConfig

from r1reward.config.tree import flatten
from r1reward.core.errors import ConfigError

HIDDEN = "(not shown)"
_NAME = re.compile(r"(api_?key|access_?key|secret|passw(or)?d|token)$", re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_SHORTEST = 8  # characters: what is shorter would be found everywhere


def is_secret(name: str) -> bool:
    """Return whether a key, or a variable of the environment, of this name holds a secret."""
    return bool(_NAME.search(name))


def check_secrets(cfg: DictConfig) -> None:
    """Refuse a configuration that holds a secret: run directory and trackers show all of it.

    Secrets belong into the environment; their values are looked for as well.

    Raises:
        ConfigError: naming the key, never the value.
    """
    known = {
        name: value
        for name, value in os.environ.items()
        if is_secret(name) and len(value) >= _SHORTEST
    }
    for key, value in flatten(cfg).items():
        for text in _texts(value):
            if problem := _problem(key, text, known):
                raise ConfigError(
                    f"{key} {problem}, which the run's files and trackers would show: "
                    "set it in the environment of the command instead"
                )


def shown(argument: str) -> str:
    """Return an argument of a command line without the secret that it may set."""
    key, equals, _ = argument.partition("=")
    return f"{key}={HIDDEN}" if equals and is_secret(key) else argument


def _problem(key: str, text: str, known: Mapping[str, str]) -> str:
    if is_secret(key):
        return "holds a secret"
    for name, secret in known.items():
        if secret in text:
            return f"holds the value of ${name}"
    return "holds a password or key" if any(map(_has_secret, _ADDRESS.findall(text))) else ""


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value and not isinstance(value, bool):
        yield str(value)


def _has_secret(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:  # no address after all
        return False
    return bool(parts.password) or any(is_secret(name) for name, _ in parse_qsl(parts.query))
