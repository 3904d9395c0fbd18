"""The NVIDIA GPUs that this process may use, by nvidia-smi, without importing torch."""

import functools
import os
import shutil
import subprocess

from r1reward.core.errors import ConfigError

_SECONDS = 60.0  # of nvidia-smi, which loads the driver where nothing else holds it


@functools.cache
def ask(field: str) -> tuple[str, ...]:
    """Return ``field`` of each GPU that this process may use; nothing where there is no driver.

    Each field is asked once in a process, since the driver may take seconds to load.
    CUDA_VISIBLE_DEVICES chooses the GPUs, in its order and up to the first that is not there, as
    CUDA reads it. nvidia-smi does not list parts of a GPU (MIG): where one is named, all count.

    Raises:
        ConfigError: when nvidia-smi does not answer.
    """
    if shutil.which("nvidia-smi") is None:
        return ()
    command = ["nvidia-smi", f"--query-gpu=index,uuid,{field}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"nvidia-smi did not answer in {_SECONDS:.0f} s: see that it does, or name the machine "
            "with cluster=..."
        ) from None
    if done.returncode:
        return ()
    lines = [line.split(", ", 2) for line in done.stdout.splitlines()]
    rows = [line for line in lines if len(line) == 3]  # beside what it warns of
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None or "MIG-" in named:
        return tuple(value for *_, value in rows)
    found: dict[str, str] = {}
    for name in map(str.strip, named.split(",")):
        fitting = [row for row in rows if row[0] == name or (name and row[1].startswith(name))]
        if not fitting:
            break
        [index, _, value], *_ = fitting
        found[index] = value
    return tuple(found.values())


def count_gpus() -> int:
    """Return how many GPUs this process may use."""
    return len(ask("name"))
