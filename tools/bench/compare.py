"""Compare a benchmark with the kept one: ``r1reward bench-compare FILE [--keep NAME]``.

``--keep`` puts its figures into ``recipes/benchmarks/NAME.json``. Exit status: 0 when no figure is
worse than its tolerance allows, or nothing comparable is kept, 1 when one is, 2 for a file that is
no result.
"""

import argparse
import sys
from pathlib import Path

from r1reward.cli.command import user_errors
from r1reward.config.compose import checkout
from r1reward.machine.console import console_on
from r1reward.tools.bench.kept import conclude, read, write


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="bench.json of a run")
    parser.add_argument("--keep", metavar="NAME", help="keep it, in a checkout")
    options = parser.parse_args()
    with user_errors():
        if options.keep is None:
            conclude(console_on(sys.stdout), options.file)
        else:
            folder = checkout() / "recipes" / "benchmarks"
            write(folder / f"{options.keep}.json", read(options.file))


if __name__ == "__main__":
    main()
