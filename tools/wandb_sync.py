"""Send what was tracked offline to Weights & Biases: ``r1reward wandb-sync [FOLDER ...]``.

Exit status: 0 when all is sent, 1 when W&B refused or was not reached, 2 without a key.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from r1reward.cli.command import error, user_errors
from r1reward.core.errors import ConfigError
from r1reward.run.tracking import has_wandb_key


def unsent(folders: list[Path]) -> list[Path]:
    """Return the offline runs below ``folders`` that were not sent yet, the oldest first."""
    found = {run for folder in folders for run in folder.rglob("wandb/offline-run-*")}
    return sorted((run for run in found if not any(run.glob("*.synced"))), key=lambda run: run.name)


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: with the status above.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", default=[Path("runs")])
    folders = parser.parse_args().folders
    runs = unsent(folders)
    if not runs:
        print(f"nothing to send below {', '.join(map(str, folders))}")
        return
    with user_errors():
        if not has_wandb_key():
            raise ConfigError(
                "no W&B key is here: set WANDB_API_KEY, or run `.venv/bin/wandb login`, then again"
            )
    print(f"sending {len(runs)} offline run(s)")
    variables = {name: value for name, value in os.environ.items() if name != "WANDB_MODE"}
    # W&B sends the parts of a resumed run one after the other, and marks what it has sent.
    command = [sys.executable, "-m", "wandb", "sync", *map(str, runs)]
    done = subprocess.run(command, env=variables)
    if done.returncode or unsent(folders):
        error("not all of it was sent; the same command sends the rest")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
