"""What conf/ and the Makefile name is there: modules, classes, commands, files."""

import ast
import re
from importlib.util import find_spec

import pytest
from support.conf import FILES, name_of

from r1reward.cli.catalog import find
from r1reward.config.compose import REPO

TEXTS = {name_of(path): path.read_text(encoding="utf-8") for path in FILES} | {
    "Makefile": (REPO / "Makefile").read_text(encoding="utf-8")
}
OBJECT = re.compile(r"\b(?:r1reward|hydra_plugins)(?:\.\w+)+")
PATH = re.compile(r"(?<![\w/$}.-])(?:r1reward|recipes|conf|tools|eval|tests)/[\w./-]*\w")
COMMAND = re.compile(r"(?:`|\$\(BIN\)/)r1reward ([a-z][a-z-]*)")
# verl reads a module and a name in it from two keys.
PAIR = re.compile(r"path: pkg://([\w.]+)\n(?: *#.*\n)* *name: (\w+)")


def exists(dotted: str) -> bool:
    """Return whether a dotted name is a module, or is defined at the top of one; imports none."""
    parent, _, name = dotted.rpartition(".")
    if spec_of(dotted):
        return True
    spec = spec_of(parent)
    if spec is None or spec.origin is None:
        return False
    with open(spec.origin, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    return any(getattr(node, "name", None) == name for node in tree.body)


def spec_of(module: str):
    try:
        return find_spec(module)
    except ModuleNotFoundError:  # a parent is no package
        return None


@pytest.mark.parametrize("name", TEXTS)
def test_modules_and_classes_are_there(name) -> None:
    text = TEXTS[name]
    named = {*OBJECT.findall(text), *(f"{module}.{item}" for module, item in PAIR.findall(text))}
    assert [dotted for dotted in sorted(named) if not exists(dotted)] == []


@pytest.mark.parametrize("name", TEXTS)
def test_files_are_there(name) -> None:
    missing = [
        path
        for path in sorted(set(PATH.findall(TEXTS[name])))
        if not any(REPO.glob(f"{path}*")) and not (REPO / "r1reward" / path).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("name", TEXTS)
def test_commands_are_there(name) -> None:
    for command in set(COMMAND.findall(TEXTS[name])):
        assert find(command), command


def test_a_name_that_is_not_there_is_found() -> None:
    assert exists("r1reward.judge.vllm.VLLMJudge")
    assert exists("r1reward.plugin")
    assert not exists("r1reward.judge.vllm.NoJudge")
    assert not exists("r1reward.no.such")
    assert COMMAND.findall("(`r1reward bench-data rows=1`) $(BIN)/r1reward train") == [
        "bench-data",
        "train",
    ]
