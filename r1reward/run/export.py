"""Turn a training checkpoint into a Hugging Face directory: ``r1reward export RUN``."""

import argparse
import os
import shutil
from pathlib import Path

from r1reward.cli.command import user_errors
from r1reward.core.errors import UserError
from r1reward.store.rundir import RunDir


class ExportError(UserError):
    """Nothing to export, with what to do."""


def export(run: Path, step: int | None = None) -> Path:
    """Merge the sharded model of ``run`` into ``run/model`` with verl's model merger.

    The directory holds safetensors weights, configuration, tokenizer and processor, and loads
    with ``AutoProcessor`` and ``AutoModelForImageTextToText``. It appears whole or not at all.

    Args:
        run: run directory.
        step: checkpoint to export; the newest when None.

    Returns:
        The exported directory.

    Raises:
        ExportError: when the run has no such checkpoint.
    """
    run_dir = RunDir(run)
    step = step or run_dir.latest_step()
    sharded = run_dir.checkpoints / f"global_step_{step}"
    if (sharded / "actor").is_dir():  # RL keeps several models; a cold start has one
        sharded = sharded / "actor"
    if not sharded.is_dir():
        raise ExportError(
            f"{run}: no checkpoint of step {step} below {run_dir.checkpoints}; "
            "train first, or name another step"
        )
    from verl.model_merger.base_model_merger import ModelMergerConfig
    from verl.model_merger.fsdp_model_merger import FSDPModelMerger

    partial = run_dir.model.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    merger = FSDPModelMerger(
        ModelMergerConfig(
            operation="merge",
            backend="fsdp",
            local_dir=str(sharded),
            target_dir=str(partial),
            hf_model_config_path=str(sharded / "huggingface"),
        )
    )
    merger.merge_and_save()
    for file in partial.iterdir():
        file.chmod(0o644)  # safetensors writes 0600
    shutil.rmtree(run_dir.model, ignore_errors=True)
    os.replace(partial, run_dir.model)
    return run_dir.model


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run directory, e.g. runs/stablereinforce/<time>")
    parser.add_argument("--step", type=int, help="checkpoint step (default: the newest)")
    arguments = parser.parse_args()
    with user_errors():
        print(export(arguments.run, arguments.step))


if __name__ == "__main__":
    main()
