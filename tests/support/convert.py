"""Pairs to convert, and what a conversion leaves in its folder."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from r1reward.config.compose import REPO
from r1reward.core.rows import Row, RowError, scan_rows
from r1reward.data.convert.run import Progress, convert
from r1reward.data.convert.unit import Job
from r1reward.data.sources.plain import Plain

PHOTOS = REPO / "recipes" / "photos"
IMAGES = sorted(path.name for path in (PHOTOS / "images").iterdir())


def pair(number: int, **fields: object) -> dict[str, Any]:
    image = f"images/{IMAGES[number % len(IMAGES)]}"
    return {
        "question": f"Question {number}?",
        "chosen": f"Better {number}.",
        "rejected": f"Worse {number}.",
        "image": image,
    } | fields


def write(path: Path, rows: Iterable[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def job(
    root: Path,
    media: Literal["path", "embed"] = "path",
    seed: int = 0,
    files: Sequence[str] = ("*.jsonl",),
    media_root: Path = PHOTOS,
) -> Job:
    return Job(Plain(str(root), list(files), str(media_root), "mine"), media, seed)


def run(
    out: Path,
    work: Job,
    shard_rows: int = 100,
    workers: int = 1,
    tick: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    return convert(work, out, shard_rows=shard_rows, workers=workers, command="test", tick=tick)


def rows_of(folder: Path) -> list[Row | RowError]:
    return [row for _, row in scan_rows(folder)]


def files_of(folder: Path) -> dict[str, str]:
    """Content of every file of a set, by name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def quarantined(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "quarantine.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


COMMAND = [
    sys.executable,
    "-m",
    "r1reward.tools.convert",
    "source=plain",
    f"source.media_root={PHOTOS}",
]
