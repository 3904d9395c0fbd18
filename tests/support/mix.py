"""Rows to mix, and what a mix leaves in its folder."""

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from r1reward.config.compose import CONF, register_resolvers
from r1reward.config.tree import plain
from r1reward.store.shards import read_manifest

HALVES = {"one": 0.5, "two": 0.5}


def row(
    number: int, source: str = "a", image: str | None = None, **fields: object
) -> dict[str, Any]:
    """Return a record that shares nothing with others, unless told to."""
    media = [] if image is None else [{"kind": "image", "uri": "x", "bytes": image.encode()}]
    record = {"question": f"Question {number}?", "responses": ["Yes.", f"No {number}."]}
    return record | {"label": 1 + number % 2, "media": media, "source": source} | fields


def solved(attempts: int, reasoning: str = "Since.") -> dict[str, Any]:
    return {"attempts": attempts, "solved": True, "reasoning": reasoning}


def unsolved(attempts: int = 3) -> dict[str, Any]:
    return {"attempts": attempts, "solved": False}


def questions(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [row["question"] for row in rows]


def shards(folder: Path) -> list[str]:
    manifest = read_manifest(folder)
    assert manifest is not None
    return [shard["sha256"] for shard in manifest["shards"]]


def tangled(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Return records of which many share an image or a question, in other words or files."""
    draw = random.Random(seed)
    for number in range(count):
        word = draw.randrange(count)
        question = draw.choice(
            [f"What is {word}?", f" WHAT  is\t{word}", f"<image>what is {word}."]
        )
        images = [f"image {draw.randrange(count)}" for _ in range(draw.choice([0, 1, 1, 1, 2]))]
        media = [{"kind": "image", "uri": f"{number}", "bytes": i.encode()} for i in images]
        yield row(number, question=question, media=media)


def composed(*overrides: str) -> dict[str, Any]:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(compose("mix", ["out=x", *overrides]))
