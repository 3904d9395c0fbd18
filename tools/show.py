"""Print the resolved configuration and what differs from verl's: ``r1reward show KEY=VALUE``."""

import sys

from omegaconf import OmegaConf
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from r1reward.cli.command import user_errors
from r1reward.config.compose import compose_config, verl_defaults
from r1reward.config.tree import differences
from r1reward.machine.console import console_on

CONFIG = "train"


def main() -> None:
    """Compose the overrides of the command line and print two views of the result."""
    console = console_on(sys.stdout)
    with user_errors():
        config = compose_config(sys.argv[1:], config_name=CONFIG)
    config.run.dir = "runs/<experiment>/<time>"
    config.run.name = "<experiment>"
    changed = differences(config, verl_defaults())
    OmegaConf.resolve(config)
    yaml = OmegaConf.to_yaml(config)
    coloured = Syntax(yaml, "yaml", background_color="default").highlight(yaml)
    console.print(coloured, soft_wrap=True)  # to be copied: no line is cut or broken
    table = Table(title="differs from verl's defaults", title_justify="left")
    for name in ("key", "verl", "here"):
        table.add_column(name, overflow="fold")
    for key, (theirs, ours) in sorted(changed.items()):
        table.add_row(key, escape(str(theirs)), escape(str(ours)))
    console.print(table)


if __name__ == "__main__":
    main()
