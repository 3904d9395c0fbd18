"""Fine-tune on annotated reasoning: ``r1reward sft experiment=cold_start``.

It is the cold start of the paper (sections 4.3 and 5.1), before reinforcement learning.

verl ships its SFT trainer in two forms over the same engine. This uses ``sft_trainer``, one
process a GPU under torchrun, rather than ``sft_trainer_ray``: there is one worker group and no
rollout for Ray to arrange; each process decodes the images of its own shard, where the other form
decodes every image in the driver and sends pixels through Ray's object store; and it starts
without a cluster. Run directory, journal, progress, resumption, trackers and export are RL's.
"""

import os
import subprocess
import sys

from omegaconf import DictConfig

from r1reward.cli.command import run_command
from r1reward.core.errors import R1RewardError
from r1reward.run.progress import Progress
from r1reward.store.rundir import RunDir
from r1reward.train import finalize


class TrainingError(R1RewardError):
    """A training process has failed; the message is its own."""


def fine_tune(cfg: DictConfig, run_dir: RunDir, progress: Progress) -> None:
    """Run torchrun to its end, in processes of which nothing is left behind.

    Raises:
        TrainingError: with what the first process to fail said.
    """
    from r1reward.launch.run import POLL_SECONDS
    from r1reward.launch.session import cleaned_up, environment

    torchrun = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        f"--nproc-per-node={cfg.trainer.n_gpus_per_node}",
        *("-m", "r1reward.plugin.sft", str(run_dir.root / "config.yaml")),
    ]
    with cleaned_up() as (token, scratch):
        variables = environment(cfg, run_dir, token, str(cfg.model.path), "sft")
        process = subprocess.Popen(
            torchrun,
            env={**os.environ, **variables, "TMPDIR": str(scratch)},
            start_new_session=True,  # an interruption of the launcher is the launcher's to handle
        )
        while True:
            try:
                status = process.wait(timeout=POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                progress.poll()
    if status:
        raise TrainingError(_said(run_dir) or f"torchrun ended with status {status}")


def _said(run_dir: RunDir) -> str | None:
    """Return the first error that the processes of the last start have reported."""
    said = None
    for row in run_dir.rows("event"):
        if row["event"] == "started":
            said = None
        elif row["event"] == "error":
            said = said or str(row["error"])
    return said


def _sft(cfg: DictConfig) -> float:
    from r1reward.launch.preflight_sft import sft_preflight
    from r1reward.launch.run import Job, launch
    from r1reward.run.summary import cold_start_summary, loss_after

    return launch(cfg, Job("sft", sft_preflight, fine_tune, cold_start_summary, loss_after))


def main() -> None:
    """Run the command line."""
    run_command("sft", _sft, prepare=finalize, cluster=True)


if __name__ == "__main__":
    main()
