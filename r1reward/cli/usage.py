"""The help of a command, from its docstring and its configuration file: nothing is composed."""

import re

from r1reward.cli.catalog import Command
from r1reward.config.compose import CONF, groups

_FLAGS = """\
Arguments
  key=value   set a key; +key=value adds one, ~key removes one
  --cfg job   print the composed configuration, and stop
  --help      print this; Hydra's own flags: --hydra-help"""
_HYDRA = re.compile(r"^(defaults|hydra):", re.MULTILINE)


def command_help(command: Command) -> str:
    """Return what a command does, and its groups and keys where it has a configuration."""
    parts = [command.doc.replace("``", "")]
    if command.config:
        parts += _configuration(command.config)
    return "\n\n".join(parts)


def _configuration(name: str) -> list[str]:
    options = {group: found for group, found in groups(name).items() if found}
    width = max(map(len, options), default=0)
    rows = [f"  {group:<{width}}  {' '.join(found)}" for group, found in options.items()]
    blocks = (CONF / f"{name}.yaml").read_text(encoding="utf-8").strip().split("\n\n")
    keys = [block for block in blocks if not _HYDRA.search(block)]
    shown = [_FLAGS, f"Keys (conf/{name}.yaml)", *keys]
    return ["\n".join(["Groups (group=option)", *rows]), *shown] if rows else shown
