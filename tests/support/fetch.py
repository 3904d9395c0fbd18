"""Benchmarks in miniature, and how the command that downloads them is started."""

import re

import yaml

from r1reward.config.compose import REPO

CONF = REPO / "conf" / "benchmark"
VLRB, MMRLHF = "MMInstruction/VL-RewardBench", "yifanzhang114/MM-RLHF-RewardBench"
SHARD = "data/test-00000-of-00001.parquet"


def contents(write, folder):
    """The files that ``write`` makes, by path."""
    folder.mkdir(parents=True)
    write(folder)
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def configuration(name):
    return yaml.safe_load((CONF / f"{name}.yaml").read_text())


def command(hub, root, name, *overrides):
    where = [f"hub.endpoint={hub if isinstance(hub, str) else hub.url}", f"benchmark.root={root}"]
    return [f"benchmark={name}", *where, *overrides]


def below(root):
    """Every file below a folder, with its content."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def cells(out, label):
    """The numbers in the rows of the table that begin with ``label``."""
    return [int(n) for n in re.findall(rf"^│ *{re.escape(label)}[^│]*│ *(\d+) *│", out, re.M)]
