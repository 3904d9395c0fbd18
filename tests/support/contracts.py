"""How contract tests find what to test: the options of a group in conf, and the classes behind."""

import inspect
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from r1reward.config.compose import CONF, register_resolvers


def options(group: str) -> list[str]:
    """The options of a group, one file each; nothing else lists them."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def option(group: str, name: str) -> DictConfig:
    """The file of an option, on its own."""
    register_resolvers()
    found = OmegaConf.load(CONF / group / f"{name}.yaml")
    assert isinstance(found, DictConfig)
    return found


def parameters(node: DictConfig) -> set[str]:
    """What the constructor of the node's class takes: it shows what an instance needs to run."""
    found: set[str] = set()
    for kind in get_class(node._target_).__mro__:
        if "__init__" in vars(kind):
            given = inspect.signature(vars(kind)["__init__"]).parameters.values()
            found |= {one.name for one in given if one.kind is not one.VAR_KEYWORD}
            if not any(one.kind is one.VAR_KEYWORD for one in given):
                break  # nothing is passed on to the class above
    return found


def without_option(
    package: ModuleType, wanted: Callable[[type], bool], group: str, key: str = ""
) -> list[str]:
    """The classes of a package that no option of a group builds; nobody can choose them.

    Args:
        package: its modules are imported.
        wanted: whether a class is one of those that options are for.
        group: of conf.
        key: of the node that builds the class; empty: the file itself.
    """
    nodes: list[Any] = [option(group, name) for name in options(group)]
    built = {OmegaConf.select(node, f"{key}._target_".lstrip(".")) for node in nodes}
    classes = [
        f"{one.__module__}.{one.__qualname__}"
        for module in iter_modules(package.__path__, f"{package.__name__}.")
        for one in vars(import_module(module.name)).values()
        if isinstance(one, type) and one.__module__ == module.name and _is_concrete(one)
        if wanted(one)
    ]
    return [name for name in classes if name not in built]


def _is_concrete(one: type) -> bool:
    return not inspect.isabstract(one) and not getattr(one, "_is_protocol", False)
