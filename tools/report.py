"""Write the report of a training run: ``r1reward report RUN``.

A run writes it itself when it ends; this is for one that goes on, was killed, or is older.
"""

import argparse
from pathlib import Path

from r1reward.cli.command import user_errors
from r1reward.report.run_page import write_report
from r1reward.store.rundir import RunDir


def main() -> None:
    """Command line.

    Raises:
        SystemExit: with status 2 for a directory that is no run.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run directory, e.g. runs/stablereinforce/<time>")
    run_dir = RunDir(parser.parse_args().run)
    with user_errors():
        write_report(run_dir)
    print(run_dir.report)


if __name__ == "__main__":
    main()
