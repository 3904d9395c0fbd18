"""The plan of the house: which room may import which, and what every room keeps to.

A room is a folder of ``r1reward/``, or a module at its top.
"""

import ast
import builtins
import importlib
import inspect
import os
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from r1reward.config.compose import CONF, REPO

PACKAGE, TESTS = REPO / "r1reward", REPO / "tests"
# From the ground up: a room imports only rooms of lower floors.
FLOORS = """
core
store machine pages endpoint patches
config
cli
run
judge consistency algorithms
rewards
data plan
report
plugin
launch
train api
sft
sweep
eval
recipes
tools
__main__
""".strip().splitlines()
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor.split()}
# Folders of extensions: their group in conf, and the modules in them that are no option of it.
EXTENSIONS = {
    "algorithms": ("algorithm", ""),
    "consistency": ("consistency", "base health prompts"),
    "data/sources": ("source", "base"),
    "eval/benchmarks": ("benchmark", "base media rows"),
    "judge": ("judge", "base build comparison item key local protocol"),
    "rewards": ("reward", "base"),
    "sweep": ("hydra/launcher", "analysis callback job launcher manifest nodes plots summary "
              "worker worth"),
}  # fmt: skip
VERLS_OWN = {"algorithm/grpo"}  # options that need no module of ours
MOST_LINES, MOST_AT_THE_TOP = 400, 5
MOST_ANY = 12  # uses of Any in a thousand lines


@cache
def modules() -> dict[str, tuple[Path, ast.Module]]:
    """Return the package's modules by name: their files and their syntax trees."""
    found = {}
    for folder, _, names in os.walk(PACKAGE, followlinks=True):  # eval, tools, recipes are links
        for path in (Path(folder, name) for name in sorted(names) if name.endswith(".py")):
            name = ".".join(path.relative_to(REPO).with_suffix("").parts)
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            found[name.removesuffix(".__init__")] = (path, tree)
    return found


def imports(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield ``(file:line, module, name)`` of all that a module imports of ours, lazily as well.

    The name is empty where it is the module that is imported.
    """
    path, tree = modules()[name]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            pairs = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively; name the package."
            pairs = [(str(node.module), alias.name) for alias in node.names]
        else:
            continue
        for module, thing in pairs:
            if module.split(".")[0] == "r1reward":
                whole = f"{module}.{thing}" in modules()
                place = f"{path.relative_to(REPO)}:{node.lineno}"
                yield place, f"{module}.{thing}" if whole else module, "" if whole else thing


def folder(name: str) -> str:
    """Return the package that a module lies in; of a package, itself."""
    return name if modules()[name][0].name == "__init__.py" else name.rpartition(".")[0]


def room(name: str) -> str:
    """Return the room of a module; of ``r1reward`` itself, nothing."""
    return name.partition(".")[2].partition(".")[0]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_a_room_imports_lower_floors_only() -> None:
    for name in modules():
        here = room(name)
        assert here in FLOOR or not here, f"{name}: give the room {here} a floor in FLOORS."
        for place, module, _ in imports(name):
            there = room(module)
            if here and there and here != there:
                assert FLOOR[there] < FLOOR[here], (
                    f"{place}: {here} imports {module} of a floor that is not below its own; move "
                    "what both need to a lower room."
                )


@pytest.mark.parametrize("unit", [str, folder], ids=["files", "folders"])
def test_no_imports_go_in_a_circle(unit) -> None:
    graph = {
        unit(name): {
            unit(module)
            for other in modules()
            if unit(other) == unit(name)
            for _, module, _ in imports(other)
        }
        - {unit(name)}
        for name in modules()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"These import each other in a circle: {' <- '.join(error.args[1])}.")


def test_a_private_name_stays_in_its_folder() -> None:
    for name in modules():
        for place, module, thing in imports(name):
            if folder(module) != folder(name):
                private = [part for part in (*module.split("."), thing) if is_private(part)]
                assert not private, f"{place} imports {private[0]}, which is private to {module}."


def test_no_file_is_too_long() -> None:
    paths = [path for path, _ in modules().values()] + sorted(TESTS.rglob("*.py"))
    for path in paths:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        where = path.relative_to(REPO)
        assert lines <= MOST_LINES, f"{where} has {lines} lines; split it below {MOST_LINES}."


def test_the_top_of_the_package_is_a_front_door() -> None:
    top = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert len(top) <= MOST_AT_THE_TOP, f"r1reward/ holds {', '.join(top)}; move some to a room."


@pytest.mark.parametrize("extensions", EXTENSIONS)
def test_every_extension_has_its_yaml_and_every_yaml_its_module(extensions) -> None:
    group, shared = EXTENSIONS[extensions]
    named = {path.stem for path in (PACKAGE / extensions).glob("*.py") if path.stem[0] != "_"}
    options = {path.stem for path in (CONF / group).glob("*.yaml")}
    for name in sorted(named - set(shared.split()) - options):
        pytest.fail(
            f"r1reward/{extensions}/{name}.py is no option: write conf/{group}/{name}.yaml."
        )
    for name in sorted(options - named):
        module = f"r1reward/{extensions}/{name}.py"
        assert f"{group}/{name}" in VERLS_OWN, f"conf/{group}/{name}.yaml has no {module}."


def test_every_public_name_is_documented() -> None:
    package = importlib.import_module("r1reward")
    if not hasattr(package, "__all__"):
        pytest.skip("r1reward names nothing public yet")
    for name in package.__all__:
        thing = getattr(package, name)
        if callable(thing) or inspect.ismodule(thing):
            assert inspect.getdoc(thing), f"r1reward.{name} is public and has no docstring."


def test_every_folder_of_tests_mirrors_a_room() -> None:
    folders = {path.parent for path in TESTS.rglob("test_*.py")} - {TESTS, TESTS / "contracts"}
    for path in sorted(folders):
        mirrored = path.relative_to(TESTS)
        assert (PACKAGE / mirrored).is_dir(), f"tests/{mirrored} tests no room r1reward/{mirrored}."


def is_exception(name: str) -> bool:
    found = getattr(builtins, name, None)
    foreign = name.endswith(("Error", "Exception"))
    return foreign or (isinstance(found, type) and issubclass(found, BaseException))


def test_every_error_has_the_common_base() -> None:
    bases = {
        node.name: [ast.unparse(base).rpartition(".")[2] for base in node.bases]
        for _, tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }

    def ancestry(name: str) -> set[str]:
        return {name}.union(*(ancestry(base) for base in bases.get(name, ()) if base != name))

    errors = [name for name in bases if any(map(is_exception, ancestry(name)))]
    assert len(errors) > 30  # the walk finds them
    for name in errors:
        assert "R1RewardError" in ancestry(name), f"{name} inherits neither of core/errors.py."
        assert name.endswith("Error"), f"{name} is an exception; end its name in Error."


def is_any(node: ast.AST) -> bool:
    return (node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")) == "Any"


def test_types_say_more_than_any() -> None:
    uses = lines = 0
    for path, tree in modules().values():
        lines += len(path.read_text(encoding="utf-8").splitlines())
        uses += sum(map(is_any, ast.walk(tree)))
    share = 1000 * uses / lines
    assert share <= MOST_ANY, f"{uses} uses of Any are {share:.1f} in 1,000 lines; name the types."


def test_no_name_stands_for_any() -> None:
    for path, tree in modules().values():
        for node in tree.body:
            if isinstance(node, ast.Assign) and any(map(is_any, ast.walk(node.value))):
                place = f"{path.relative_to(REPO)}:{node.lineno}"
                pytest.fail(f"{place}: {ast.unparse(node.targets[0])} hides Any; say the type.")
