"""What nvidia-smi says of the NVIDIA GPUs that this process may use, without importing torch."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable

_SECONDS = 30.0  # of nvidia-smi, which loads the driver where nothing else holds it


def command(field: str) -> list[str]:
    """Return the command that prints ``field`` of every GPU, in lines for :func:`values`."""
    return ["nvidia-smi", f"--query-gpu=index,uuid,{field}", "--format=csv,noheader,nounits"]


def values(lines: Iterable[str]) -> list[str]:
    """Return the field in each line of a GPU that CUDA_VISIBLE_DEVICES names; unset, it is all.

    Parts of a GPU (MIG) are not listed by nvidia-smi: where one is named, all GPUs are.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    chosen = None if named is None or "MIG-" in named else [one.strip() for one in named.split(",")]
    found = []
    for line in lines:
        index, uuid, value = line.strip().split(", ", 2)
        if chosen is None or any(index == one or (one and uuid.startswith(one)) for one in chosen):
            found.append(value)
    return found


def ask(field: str) -> list[str]:
    """Return ``field`` of every GPU; nothing where there is no NVIDIA GPU, or no answer."""
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        done = subprocess.run(command(field), capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return []
    return values(done.stdout.splitlines()) if done.returncode == 0 else []


@functools.cache
def count_gpus() -> int:
    """Return how many NVIDIA GPUs there are."""
    return len(ask("name"))
