"""Benchmarks in miniature, and how the command that downloads them is started."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from support.hub import Server

from r1reward.config.compose import REPO

CONF = REPO / "conf" / "benchmark"
VLRB, MMRLHF = "MMInstruction/VL-RewardBench", "yifanzhang114/MM-RLHF-RewardBench"
SHARD = "data/test-00000-of-00001.parquet"


def contents(write: Callable[[Path], None], folder: Path) -> dict[str, bytes]:
    """The files that ``write`` makes, by path."""
    folder.mkdir(parents=True)
    write(folder)
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def configuration(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return content


def command(hub: Server | str, root: Path, name: str, *overrides: str) -> list[str]:
    where = [f"hub.endpoint={hub if isinstance(hub, str) else hub.url}", f"benchmark.root={root}"]
    return [f"benchmark={name}", *where, *overrides]


def below(root: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def cells(out: str, label: str) -> list[int]:
    """The numbers in the rows of the table that begin with ``label``."""
    return [int(n) for n in re.findall(rf"^│ *{re.escape(label)}[^│]*│ *(\d+) *│", out, re.M)]
