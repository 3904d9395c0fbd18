"""Plain containers and flat views by dotted keys of a configuration, and differences of two."""

from typing import Any

from omegaconf import DictConfig, OmegaConf


def plain(config: DictConfig, *, complete: bool = False) -> dict[str, Any]:
    """Return ``config`` as dictionaries and lists, its interpolations resolved.

    Args:
        config: a node that is a mapping.
        complete: refuse a value that is missing (``???``).

    Raises:
        OmegaConfBaseException: naming the key that cannot be resolved, or is missing.
    """
    found = OmegaConf.to_container(config, resolve=True, throw_on_missing=complete)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def differences(config: DictConfig, base: DictConfig) -> dict[str, tuple[object, object]]:
    """Return ``{key: (base value, config value)}`` for every leaf in which they differ."""
    ours, theirs = flatten(config), flatten(base)
    return {
        key: (theirs.get(key, "-"), value)
        for key, value in ours.items()
        if key not in theirs or theirs[key] != value
    }


def flatten(config: object, prefix: str = "") -> dict[str, object]:
    """Return the leaves of ``config`` by dotted key; interpolations stay text, as written."""
    raw = OmegaConf.to_container(config) if OmegaConf.is_config(config) else config
    if not isinstance(raw, dict) or (not raw and prefix):
        return {prefix: raw}
    leaves: dict[str, object] = {}
    for key, value in raw.items():
        leaves |= flatten(value, f"{prefix}.{key!s}" if prefix else str(key))
    return leaves
