"""Flat view of a configuration by dotted keys, and differences of two configurations."""

from typing import Any

from omegaconf import DictConfig, OmegaConf


def differences(config: DictConfig, base: DictConfig) -> dict[str, tuple[Any, Any]]:
    """Return ``{key: (base value, config value)}`` for every leaf in which they differ."""
    ours, theirs = flatten(config), flatten(base)
    return {
        key: (theirs.get(key, "-"), value)
        for key, value in ours.items()
        if key not in theirs or theirs[key] != value
    }


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of ``config`` by dotted key; interpolations stay text, as written."""
    raw = OmegaConf.to_container(config) if OmegaConf.is_config(config) else config
    if not isinstance(raw, dict) or (not raw and prefix):
        return {prefix: raw}
    leaves: dict[str, Any] = {}
    for key, value in raw.items():
        leaves |= flatten(value, f"{prefix}.{key!s}" if prefix else str(key))
    return leaves
