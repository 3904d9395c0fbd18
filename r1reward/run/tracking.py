"""Metadata for trackers: identity and origin of a run, and pairs to read."""

import hashlib
import netrc
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from r1reward.store.rundir import RunDir

_SWEEPS = "sweeps"  # folder of all sweeps (hydra.sweep.dir)
_TAG = 64  # characters that W&B takes


def environment(cfg: DictConfig, run_dir: RunDir, job_type: str) -> dict[str, str]:
    """Return the variables by which a training run's trackers know it.

    Args:
        cfg: the resolved configuration, of RL or of a cold start.
        run_dir: the run.
        job_type: of W&B: ``train`` or ``sft``.
    """
    variables: dict[str, str] = {}
    if "wandb" in cfg.trainer.logger:
        # Runs of a sweep belong together, others with those of the same experiment.
        folder = run_dir.root.absolute().parent
        group = folder.name if folder.parent.name == _SWEEPS else str(cfg.run.name)
        variables |= wandb_environment(run_dir.root, group, job_type, cfg.run.tags)
    if "tensorboard" in cfg.trainer.logger:
        variables["TENSORBOARD_DIR"] = str(run_dir.root / "tensorboard")
    return variables


def wandb_environment(
    folder: Path, group: str, job_type: str, tags: Iterable[str]
) -> dict[str, str]:
    """Return W&B's variables: online where a key is, else offline into ``folder``, never a prompt.

    The same folder is the same W&B run, before and after a resume. W&B neither captures the
    console, which the log has, nor asks git, whose remote may name a token, nor reads the command
    line, which is a Ray worker's and may hold the cluster's password.
    """
    return {
        "WANDB_DIR": str(folder),
        # Media of tables wait here to be sent; by default in the home directory.
        "WANDB_DATA_DIR": str(folder / "wandb" / "data"),
        "WANDB_MODE": os.environ.get("WANDB_MODE") or ("online" if has_wandb_key() else "offline"),
        "WANDB_RUN_ID": hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:12],
        "WANDB_RESUME": "allow",
        "WANDB_RUN_GROUP": group,
        "WANDB_JOB_TYPE": job_type,
        "WANDB_TAGS": ",".join(dict.fromkeys(tag.replace(",", " ")[:_TAG] for tag in tags)),
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_DISABLE_GIT": "true",
        "WANDB__DISABLE_META": "true",
    }


def has_wandb_key() -> bool:
    """Return whether W&B credentials are present, in the environment or in ``~/.netrc``."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        # W&B's own order. A path given here is read whatever its permissions, as W&B does.
        path = os.environ.get("NETRC") or Path.home() / ".netrc"
        return any("wandb" in host for host in netrc.netrc(str(path)).hosts)
    except (OSError, netrc.NetrcParseError):
        return False


def describe(trackers: Mapping[str, Any], run_dir: RunDir) -> None:
    """Tell the trackers what the last start was made with: revision, versions, machine, data."""
    if not shows_tables(trackers):
        return
    start = [row for row in run_dir.rows("event") if row["event"] == "started"][-1]
    made_with = {key: start.get(key) for key in ("revision", "versions", "machine", "data")}
    if wandb := trackers.get("wandb"):
        wandb.config.update({"provenance": made_with}, allow_val_change=True)
    if tensorboard := trackers.get("tensorboard"):
        tensorboard.writer.add_text("provenance", _literal(made_with))


def shows_tables(trackers: Mapping[str, Any]) -> bool:
    """Return whether any of the trackers shows more than metrics."""
    return not trackers.keys().isdisjoint(("wandb", "tensorboard"))


def show_table(
    trackers: Mapping[str, Any],
    name: str,
    columns: Iterable[str],
    rows: Iterable[list[object]],
    step: int | None = None,
) -> None:
    """Show a table; cells that are images stay out of TensorBoard's, which is text."""
    from PIL import Image

    columns, rows = list(columns), list(rows)
    if wandb := trackers.get("wandb"):
        table = wandb.Table(columns=columns)
        for row in rows:
            table.add_data(*(wandb.Image(c) if isinstance(c, Image.Image) else c for c in row))
        wandb.log({name: table}, step=step)
    if tensorboard := trackers.get("tensorboard"):
        texts = [
            {k: c for k, c in zip(columns, row, strict=True) if not isinstance(c, Image.Image)}
            for row in rows
        ]
        tensorboard.writer.add_text(name, _literal(texts), step)


def _literal(content: object) -> str:
    """Return YAML as Markdown shows it unread: text of models is nobody's markup."""
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return "\n".join(f"    {line}" for line in text.splitlines())
