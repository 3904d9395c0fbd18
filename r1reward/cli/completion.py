"""Print the completion of a shell: ``r1reward completion bash``.

It completes commands, and the groups and options of those with a configuration. It holds the names
of this installation: print it again after adding an option.

  bash  in ~/.bashrc:  source <(r1reward completion bash)
  zsh   in ~/.zshrc, after compinit:  source <(r1reward completion zsh)
  fish  r1reward completion fish > ~/.config/fish/completions/r1reward.fish
"""

import argparse
from collections.abc import Sequence

from r1reward.cli.catalog import Command, catalog
from r1reward.config.compose import groups

_BASH = """\
_r1reward() {{
  local line=${{COMP_LINE:0:COMP_POINT}} words= IFS=$' \\t\\n'
  local word=${{line##*[[:space:]]}}
  if [[ $line =~ ^[[:space:]]*[^[:space:]]+[[:space:]]+[^[:space:]]*$ ]]; then
    words='{names}'
  else
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  # bash replaces only what follows the last =.
  COMPREPLY=("${{COMPREPLY[@]#"${{word%"${{word##*=}}"}}"}}")
}}
complete -o default -F _r1reward r1reward
"""
_ZSH = """\
_r1reward() {{
  local -a names=() options=()
  if (( CURRENT == 2 )); then
    names=({names})
    _describe command names
    return
  fi
  case $words[2] in
{cases}
  esac
  compadd -a options || _files
}}
compdef _r1reward r1reward
"""


def main() -> None:
    """Print the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    write = {"bash": _bash, "zsh": _zsh, "fish": _fish}[parser.parse_args().shell]
    print(write([command for group in catalog().values() for command in group]), end="")


def choices(command: Command) -> list[str]:
    """Return what may follow a command: each option of each group, and flags."""
    found = groups(command.config) if command.config else {}
    return [*(f"{group}={name}" for group, names in found.items() for name in names), "--help"]


def _bash(commands: Sequence[Command]) -> str:
    cases = [f"      {one.name}) words='{' '.join(choices(one))}' ;;" for one in commands]
    return _BASH.format(names=" ".join(one.name for one in commands), cases="\n".join(cases))


def _zsh(commands: Sequence[Command]) -> str:
    names = " ".join(_quoted(f"{one.name}:{one.about}") for one in commands)
    cases = [f"    {one.name}) options=({' '.join(choices(one))}) ;;" for one in commands]
    return _ZSH.format(names=names, cases="\n".join(cases))


def _fish(commands: Sequence[Command]) -> str:
    lines = []
    for one in commands:
        about, options = _quoted(one.about), _quoted(" ".join(choices(one)))
        lines += [
            f"complete -c r1reward -f -n __fish_use_subcommand -a {one.name} -d {about}",
            f"complete -c r1reward -n '__fish_seen_subcommand_from {one.name}' -a {options}",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "") + "'"
