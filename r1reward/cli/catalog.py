"""Catalogue of the commands of ``r1reward``: names, modules, descriptions.

A command is a module with a function ``main``. Every such module in ``r1reward.tools`` is one,
named after its file; those of other rooms are listed here. Nothing is imported to find them.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_BENCH = "bench-"  # before the names of the modules in tools/bench
# Commands that are no module of tools.
_ELSEWHERE = {
    "train": "r1reward.train",
    "sft": "r1reward.sft",
    "eval": "r1reward.eval.run",
    "compare": "r1reward.eval.compare",
    "fetch": "r1reward.eval.fetch",
    "export": "r1reward.run.export",
    "recipe": "r1reward.recipes.run",
    "recipe-report": "r1reward.recipes.report",
    "ablation": "r1reward.recipes.ablation.study",
    "ablation-page": "r1reward.recipes.ablation.page",
    "photos-reasoning": "r1reward.recipes.tiny.reasoning",
    "smol-model": "r1reward.recipes.smol.build",
    "completion": "r1reward.cli.completion",
}
# The groups of the help, in this order; a command without a group comes last.
_GROUPS = {
    "train": ("train", "sft", "sweep", "show", "plan", "doctor"),
    "evaluate": ("eval", "compare", "fetch", "consistency-check"),
    "data": ("validate", "convert", "annotate", "decontaminate", "mix", "data-page"),
    "runs": ("report", "export", "sweep-summary", "wandb-sync", "gallery", "golden"),
    "recipes": ("recipe", "recipe-report", "ablation", "ablation-page"),
    "models": ("random-model", "smol-model", "photos-reasoning"),
}
# How a module names the configuration that it composes.
_COMPOSES = re.compile(r'(?:run_command\(\s*|^CONFIG = )"([\w/]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command: ``r1reward <name>`` calls ``main`` of ``module``."""

    name: str
    module: str

    @cached_property
    def source(self) -> str:
        """The module's text; empty where there is no such file."""
        path = _PACKAGE.joinpath(*self.module.split(".")[1:]).with_suffix(".py")
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @property
    def exists(self) -> bool:
        """Whether the module has a function ``main``."""
        return "\ndef main() -> None:" in self.source

    @cached_property
    def doc(self) -> str:
        """The module's docstring."""
        return ast.get_docstring(ast.parse(self.source)) or ""

    @property
    def parses(self) -> bool:
        """Whether it parses its arguments itself, and has a help of its own."""
        return "argparse" in self.source

    @property
    def about(self) -> str:
        """What it does, in one line."""
        return self.doc.partition("\n")[0].partition(": ``")[0].replace("``", "").rstrip(".")

    @property
    def config(self) -> str | None:
        """The primary configuration whose keys are its arguments; None without one."""
        found = _COMPOSES.search(self.source)
        return found[1] if found else None


def find(name: str) -> Command | None:
    """Return the command of this name, None where there is none."""
    file = f"bench.{name.removeprefix(_BENCH)}" if name.startswith(_BENCH) else name
    module = _ELSEWHERE.get(name) or f"r1reward.tools.{file.replace('-', '_')}"
    command = Command(name, module)
    return command if name.replace("-", "").isalnum() and command.exists else None


def catalog() -> dict[str, list[Command]]:
    """Return all commands by group."""
    left = {name: command for name in names() if (command := find(name))}
    found = {
        group: [left.pop(name) for name in names if name in left]
        for group, names in _GROUPS.items()
    }
    benchmarks = [left.pop(name) for name in sorted(left) if name.startswith(_BENCH)]
    return found | {"benchmarks": benchmarks, "more": list(left.values())}


def spoken(module: str) -> list[str]:
    """Return how a person starts a module: by its command, else by ``python -m``."""
    for name in names():
        if (command := find(name)) and command.module == module:
            return ["r1reward", name]
    return ["python", "-m", module]


def names() -> Iterator[str]:
    """Yield the names that commands may have."""
    yield from _ELSEWHERE
    for prefix, folder in (("", "tools"), (_BENCH, "tools/bench")):
        for path in sorted((_PACKAGE / folder).glob("*.py")):
            yield prefix + path.stem.replace("_", "-")
