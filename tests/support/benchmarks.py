"""Benchmarks as evaluation builds them, and rows in their files."""

import json

import pyarrow.parquet as pq
from hydra.utils import instantiate
from omegaconf import OmegaConf
from support import eval_oracles as oracles
from support.contracts import option

from r1reward.config.compose import REPO
from r1reward.eval.benchmarks.base import Benchmark

PHOTOS = REPO / "recipes" / "photos"


def build(name, **values) -> Benchmark:
    """A benchmark from its configuration, with other settings where they are given."""
    node = option("benchmark", name)
    node.benchmark.update({key: str(value) for key, value in values.items()})
    OmegaConf.resolve(node)
    return instantiate(node.benchmark)


def read(path):
    """The rows of a file."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = path.read_text()
    return json.loads(text) if path.suffix == ".json" else list(map(json.loads, text.splitlines()))


def save(path, rows):
    """Write a file of rows, in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        oracles.parquet(path, rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        oracles.jsonl(path, rows)


def write(folder, form):
    """Let one of ``oracles.FILES`` write into a folder; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    form(folder)
    return folder
