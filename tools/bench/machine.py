"""Description of the machine that every benchmark writes beside its figures."""

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import psutil

from r1reward.machine.gpus import ask
from r1reward.run.provenance import revision
from r1reward.tools.doctor import version


class Machine(TypedDict):
    """A machine at a moment: its parts, the versions of what runs on it, and its load."""

    cpu: str
    cores: int | None
    gpus: list[str]
    memory_bytes: int
    system: str
    python: str
    packages: dict[str, str]
    revision: str | None
    date: str
    load: float


def here(packages: Sequence[str]) -> Machine:
    """Return this machine, the date, the load at this moment, revision and versions.

    Args:
        packages: those whose speed counts; absent ones are left out.
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "gpus": list(ask("name")),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in packages if (found := version(name))},
        "revision": revision(),
        "date": time.strftime("%Y-%m-%d"),
        "load": os.getloadavg()[0],
    }
