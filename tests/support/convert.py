"""Pairs to convert, and what a conversion leaves in its folder."""

import hashlib
import json
import sys

from r1reward.config.compose import REPO
from r1reward.core.rows import scan_rows
from r1reward.data.convert.run import convert
from r1reward.data.convert.unit import Job
from r1reward.data.sources.plain import Plain

PHOTOS = REPO / "recipes" / "photos"
IMAGES = sorted(path.name for path in (PHOTOS / "images").iterdir())


def pair(number, **fields):
    image = f"images/{IMAGES[number % len(IMAGES)]}"
    return {
        "question": f"Question {number}?",
        "chosen": f"Better {number}.",
        "rejected": f"Worse {number}.",
        "image": image,
    } | fields


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def job(root, media="path", seed=0, files=("*.jsonl",), media_root=PHOTOS):
    return Job(Plain(str(root), list(files), str(media_root), "mine"), media, seed)


def run(out, work, shard_rows=100, workers=1, tick=lambda progress: None):
    return convert(work, out, shard_rows=shard_rows, workers=workers, command="test", tick=tick)


def rows_of(folder):
    return [row for _, row in scan_rows(folder)]


def files_of(folder):
    """Content of every file of a set, by name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def quarantined(folder):
    lines = (folder / "quarantine.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


COMMAND = [
    sys.executable,
    "-m",
    "r1reward.tools.convert",
    "source=plain",
    f"source.media_root={PHOTOS}",
]
