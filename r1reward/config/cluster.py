"""Choice of the profile of ``conf/cluster`` for this machine."""

import re
from collections.abc import Sequence
from pathlib import Path

from r1reward.machine.gpus import count_gpus

_PROFILES = Path(__file__).parent.parent / "conf" / "cluster"


def resolve_cluster(overrides: Sequence[str]) -> list[str]:
    """Return ``overrides`` with ``cluster=auto``, or no ``cluster=``, replaced by what is there.

    All GPUs of this machine are taken, or as many as ``gpus=`` says.
    """
    chosen = [item for item in overrides if item.startswith("cluster=")]
    if chosen and chosen[-1] != "cluster=auto":
        return list(overrides)
    given = [item for item in overrides if re.fullmatch(r"gpus=\d+", item)]
    gpus = int(given[-1].removeprefix("gpus=")) if given else count_gpus()
    return [*(item for item in overrides if item not in chosen + given), *profile(gpus)]


def profile(gpus: int) -> list[str]:
    """Return the overrides for so many GPUs: ``gpu<N>`` where there is one, else ``gpu``."""
    if gpus == 0:
        return ["cluster=cpu"]
    if (_PROFILES / f"gpu{gpus}.yaml").is_file():
        return [f"cluster=gpu{gpus}"]
    return ["cluster=gpu", f"gpus={gpus}"]
