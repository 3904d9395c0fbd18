"""The command line: ``r1reward COMMAND [ARGUMENT ...]``."""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version

from r1reward.cli.catalog import Command, catalog, find

_HELP = {"-h", "--help"}


def main() -> None:
    """Run the command that the first argument names.

    Raises:
        SystemExit: with status 2 for an unknown command, or as the command does.
    """
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in _HELP:
        print(overview())
    elif name == "--version":
        print(f"r1reward {version('r1reward')}")
    else:
        start(name, arguments)


def start(name: str, arguments: Sequence[str]) -> None:
    """Run a command.

    Raises:
        SystemExit: with status 2 for an unknown command, or as the command does.
    """
    command = find(name)
    if command is None:
        print(f"error {_unknown(name)}", file=sys.stderr)
        raise SystemExit(2)
    if _HELP & set(arguments) and not command.parses:
        from r1reward.cli.usage import command_help

        print(command_help(command))
        return
    run(command, arguments)


def run(command: Command, arguments: Sequence[str]) -> None:
    """Call the command's ``main``."""
    module = import_module(command.module)
    # As `python -m` leaves it: a sweep starts the module again, in a process for each run.
    sys.modules["__main__"].__spec__ = module.__spec__
    sys.argv = [f"r1reward {command.name}", *arguments]
    module.main()


def overview() -> str:
    """Return the list of commands."""
    groups = {group: commands for group, commands in catalog().items() if commands}
    width = max(len(command.name) for commands in groups.values() for command in commands)
    lines = ["usage: r1reward COMMAND [ARGUMENT ...]", "       r1reward COMMAND --help"]
    for group, commands in groups.items():
        lines += ["", group, *(f"  {one.name:<{width}}  {one.about}" for one in commands)]
    return "\n".join(lines)


def _unknown(name: str) -> str:
    near = get_close_matches(name, [one.name for group in catalog().values() for one in group])
    meant = f"did you mean {' or '.join(near)}?" if near else "`r1reward --help` lists them all"
    return f"unknown command {name}: {meant}"
