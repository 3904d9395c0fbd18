"""Addresses of endpoints, and the key that goes with them: no secret may get into a file."""

import os
import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from r1reward.core.errors import ConfigError

OPENAI = "https://api.openai.com/v1"
_PATH = "/chat/completions"
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_HIDDEN = "***"
_SHORTEST = 8  # characters of a key worth hiding: servers that need none are given EMPTY, or x


def read_addresses(base_url: str | Sequence[str] | None, group: str) -> list[str]:
    """Return the addresses of ``{group}.base_url``, without the last slash; OpenAI's for None.

    Raises:
        ConfigError: for what is no address, and for a password or query in one. An address
            that may hold a secret is not repeated in the message.
    """
    if base_url is None:
        return [OPENAI]
    given = [base_url] if isinstance(base_url, str) else list(base_url)
    if not given or len(set(given)) < len(given):
        raise ConfigError(f"{group}.base_url: give one address or several different ones")
    return [_checked(address, group) for address in given]


def read_key(name: str, group: str, *, needed: bool) -> str:
    """Return the key in the environment variable ``name``; empty when there is none.

    Raises:
        ConfigError: when it is ``needed`` and not set, or cannot be sent in a header.
    """
    key = os.environ.get(name, "").strip()
    if needed and not key:
        raise ConfigError(f"no key in the environment: set {name}, or {group}.base_url")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{name} in the environment is no key: a header cannot hold it")
    return key


def without_secrets(text: str, key: str) -> str:
    """Return ``text`` without ``key`` and without the user and password of any address."""
    text = _USERINFO.sub(f"{_HIDDEN}@", text)
    return text.replace(key, _HIDDEN) if len(key) >= _SHORTEST else text


def proxy_variables(address: str) -> list[str]:
    """Return the environment variables that send requests for ``address`` through a proxy."""
    parts = urlsplit(address)
    if parts.scheme not in getproxies() or proxy_bypass(parts.hostname or ""):
        return []
    names = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper())
    return [name for name in names if os.environ.get(name)]


def _checked(address: str, group: str) -> str:
    if "@" in address or "?" in address:  # not repeated: it may hold a secret
        raise ConfigError(
            f"{group}.base_url: a password or query in an address would show in the run's files; "
            f"put the key into the environment variable that {group}.key_env names"
        )
    parts = _parts(address)
    if parts is None:
        raise ConfigError(f"{group}.base_url={address}: give http://host:port/v1, or https")
    if parts.path.rstrip("/").endswith(_PATH):
        raise ConfigError(f"{group}.base_url={address}: leave {_PATH} out; it is added")
    return address.rstrip("/")


def _parts(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        return None
    return parts if usable else None
