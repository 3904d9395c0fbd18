"""One process of a cold start, started by torchrun: verl's SFT trainer over annotated pairs."""

import os
import sys
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torchdata.stateful_dataloader import StatefulDataLoader
from verl.trainer.sft_trainer import SFTTrainer
from verl.utils.device import auto_set_device
from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group

from r1reward.run.export import export
from r1reward.store.rundir import RunDir

_REASON_LINES = 12


class ColdStartTrainer(SFTTrainer):  # type: ignore[misc]
    """verl's SFTTrainer: seeded order, whole validation, right resumption, milestones.

    Losses reach the journal through :func:`r1reward.plugin.patches.sft_journal`.
    """

    def __init__(self, config: Any) -> None:
        self.run_dir = RunDir(Path(config.run.dir))
        super().__init__(config)
        if self.resume_global_step and self.resume_global_step % self.steps_per_epoch == 0:
            # The checkpoint's loader has come to the end of its epoch; verl begins the next one
            # with it (sft_trainer.py:340) and would find nothing in it.
            self._build_dataloader()
            self.ckpt_handler.train_dataloader = self.train_dataloader

    def _build_dataset(self) -> None:
        super()._build_dataset()
        self._event("data", train=len(self.train_dataset), val=len(self.val_dataset or ()))

    def _build_dataloader(self) -> None:
        super()._build_dataloader()
        self.train_sampler.seed = int(self.config.data.seed)  # verl leaves it at 0
        if self.val_dataset:
            # verl's drops what fills no training batch: of a small set, everything.
            self.val_dataloader = StatefulDataLoader(
                dataset=self.val_dataset,
                batch_size=self.train_batch_size_per_dp,
                sampler=self.val_sampler,
                collate_fn=self.collate_fn,
                num_workers=self.config.data.num_workers,
            )

    def _init_engine(self) -> None:
        super()._init_engine()
        if not self.val_dataset:
            self.test_freq = -1  # verl would validate on nothing, and fail (sft_trainer.py:364)
        self._event("model")

    def fit(self) -> None:
        """Train to the last step, unless the checkpoint is of that step already."""
        self._event("training", step=self.resume_global_step, steps=self.total_training_steps)
        if self.resume_global_step < self.total_training_steps:
            super().fit()

    def _event(self, name: str, **fields: object) -> None:
        if self.rank == 0:
            self.run_dir.event(name, **fields)


def train(config: Any) -> None:
    """Train; the first process then exports the model when ``run.export`` says so."""
    run_dir, first = RunDir(Path(config.run.dir)), os.environ["RANK"] == "0"
    if first:
        run_dir.event("imported")
    auto_set_device(config)
    initialize_global_process_group()
    ColdStartTrainer(config).fit()
    destroy_global_process_group()
    if not first:
        return
    if config.run.export:
        run_dir.event("exporting")
        export(run_dir.root)
    run_dir.event("finished", step=run_dir.latest_step())


def main(path: str) -> None:
    """Train as ``path`` says, a run's resolved configuration; the journal says what went wrong."""
    config = OmegaConf.load(path)
    try:
        train(config)
    except Exception as error:
        lines = f"{type(error).__name__}: {error}".strip().splitlines()[:_REASON_LINES]
        RunDir(Path(config.run.dir)).event("error", error="\n".join(lines))
        raise


if __name__ == "__main__":
    main(sys.argv[1])
