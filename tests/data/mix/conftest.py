"""Data sets, and mixes of them."""

import json

import pytest

from r1reward.core.rows import scan_rows
from r1reward.data.mix.run import mix
from r1reward.data.mix.select import Input, Settings
from r1reward.store.shards import write_shard


@pytest.fixture
def write(tmp_path):
    """Write a data set; its folder is ``name``."""

    def to_folder(rows, name="data", size=100):
        for start in range(0, len(rows), size):
            write_shard(tmp_path / name / f"{start:06d}.parquet", rows[start : start + size])
        return tmp_path / name

    return to_folder


@pytest.fixture
def made(tmp_path):
    """Mix; return the rows of each part as they were written, and what became of the others."""
    runs = iter(range(100))

    def run(*paths, out=None, workers=1, weights=(), **settings):
        out = out or tmp_path / f"out{next(runs)}"
        weights = list(weights) or [None] * len(paths)
        inputs = [
            Input(path, path if path.is_dir() else path.parent, weight)
            for path, weight in zip(paths, weights, strict=True)
        ]
        made = mix(inputs, Settings(**settings), out, workers, "the command", lambda _: None)
        parts = {name: [item for _, item in scan_rows(out / name)] for name in made.parts}
        dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
        return parts, dropped, made

    return run
