"""Write the summary of a sweep again, and show it: ``r1reward sweep-summary FOLDER``.

A sweep writes it after every run; this is for one that goes on elsewhere, or was killed.
"""

import argparse
import sys
from pathlib import Path

from r1reward.cli.command import user_errors
from r1reward.machine.console import console_on
from r1reward.sweep.manifest import Manifest
from r1reward.sweep.summary import PAGE, table, write_summary


def main() -> None:
    """Command line.

    Raises:
        SystemExit: with status 2 for a folder that is no sweep's.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of a sweep, e.g. runs/sweeps/smoke")
    folder = parser.parse_args().folder.resolve()
    with user_errors():
        manifest = Manifest.read(folder)
        write_summary(folder, manifest)
    console = console_on(sys.stdout)
    console.print(table(manifest), soft_wrap=True)
    console.print(str(folder / PAGE), markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
