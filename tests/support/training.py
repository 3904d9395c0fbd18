"""Real training runs as the tests start them, and what they may leave behind."""

import os
import subprocess
import sys
from pathlib import Path

from r1reward.config.compose import REPO
from r1reward.store.rundir import RunDir

PHOTOS = REPO / "recipes" / "photos"
MODEL = REPO / "recipes" / "tiny" / "checkpoint"
SMALL = (
    "experiment=stablereinforce",
    "cluster=cpu",
    "data.train_batch_size=8",
    "actor_rollout_ref.actor.ppo_mini_batch_size=8",
    "data.val_max_samples=16",
    "data.steps=2",
    "data.save_every=1",
)
SECRETS = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "OPENAI_API_KEY": "sk-nobody-may-see-this",
    "HF_TOKEN": "hf_nobody_may_see_this",
    "MY_JUDGE_API_KEY": "judge-nobody-may-see-this",
}
ENVIRONMENT = {**os.environ, **SECRETS, "WANDB_MODE": "offline"}


def command(*overrides: str) -> list[str]:
    return [sys.executable, "-m", "r1reward.train", *SMALL, *overrides]


def run(*overrides: str) -> str:
    done = subprocess.run(
        command(*overrides),
        cwd=REPO,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def leftovers() -> set[str]:
    """Shared memory, sockets and temporary directories that runs of ours make."""
    found = {str(path) for path in Path("/tmp").glob("rl-colocate-zmq-*")}
    found |= {str(path) for path in Path("/tmp").glob("r1-*")}
    return found | {str(path) for path in Path("/dev/shm").iterdir()}


def only_run(root: Path) -> RunDir:
    (directory,) = (root / "stablereinforce").iterdir()
    return RunDir(directory)
