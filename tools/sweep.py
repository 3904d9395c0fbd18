"""Run many trainings: ``r1reward sweep ablation run.seed=0,1``.

The first argument names an option of conf/sweep; without it, the overrides alone say what varies.
It is ``r1reward train --multirun sweep=ablation run.seed=0,1``.
"""

import sys

from r1reward.cli.main import start

CONFIG = "train"


def main() -> None:
    """Start the sweep of the command line."""
    chosen = sys.argv[1:]
    if chosen and "=" not in chosen[0] and not chosen[0].startswith("-"):
        chosen[0] = f"sweep={chosen[0]}"
    start(CONFIG, ["--multirun", *chosen])


if __name__ == "__main__":
    main()
