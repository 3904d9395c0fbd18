"""Directories of runs and sweeps."""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from r1reward.core.errors import ConfigError
from r1reward.store.rundir import RunDir


def run_dir(root: str, experiment: str | None, resume: str | None) -> str:
    """Return the directory of this run: a new one, or the one that ``resume`` names.

    Raises:
        ConfigError: when there is nothing to resume.
    """
    name = experiment or "custom"
    if resume in (None, "null", ""):
        return str(Path(root) / name / time.strftime("%Y%m%d-%H%M%S"))
    if resume != "auto":
        if RunDir(Path(resume)).latest_step() == 0:
            raise ConfigError(f"resume={resume}: no checkpoint below {resume}/checkpoints")
        return str(Path(resume))
    candidates = sorted((Path(root) / name).glob("*/"), reverse=True)
    for candidate in candidates:
        run = RunDir(candidate)
        if run.latest_step() > 0 and not run.finished():
            return str(candidate)
    raise ConfigError(
        f"resume=auto: no unfinished run with a checkpoint below {Path(root) / name}; "
        "start a new one without resume"
    )


def sweep_dir(root: str, name: str | None, overrides: Sequence[str]) -> str:
    """Return the folder of a sweep: of the same name, or of the same overrides, the same."""
    if name in (None, "null"):
        kept = sorted(item for item in overrides if not item.startswith("sweep."))
        name = "overrides-" + hashlib.sha256("\0".join(kept).encode()).hexdigest()[:8]
    return str(Path(root) / "sweeps" / name)
