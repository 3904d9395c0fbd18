"""Benchmarks as evaluation builds them, and rows in their files."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hydra.utils import instantiate
from omegaconf import OmegaConf
from support import eval_oracles as oracles
from support.contracts import option

from r1reward.config.compose import REPO
from r1reward.eval.benchmarks.base import Benchmark

PHOTOS = REPO / "recipes" / "photos"


def build(name: str, **values: object) -> Benchmark:
    """A benchmark from its configuration, with other settings where they are given."""
    node = option("benchmark", name)
    node.benchmark.update({key: str(value) for key, value in values.items()})
    OmegaConf.resolve(node)
    benchmark: Benchmark = instantiate(node.benchmark)
    return benchmark


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    rows: list[dict[str, Any]]
    text = "" if path.suffix == ".parquet" else path.read_text()
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
    elif path.suffix == ".json":
        rows = json.loads(text)
    else:
        rows = list(map(json.loads, text.splitlines()))
    return rows


def save(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a file of rows, in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        oracles.parquet(path, rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        oracles.jsonl(path, rows)


def write(folder: Path, form: Callable[[Path], None]) -> Path:
    """Let one of ``oracles.FILES`` write into a folder; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    form(folder)
    return folder
