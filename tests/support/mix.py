"""Rows to mix, and what a mix leaves in its folder."""

import random

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from r1reward.config.compose import CONF, register_resolvers
from r1reward.store.shards import read_manifest

HALVES = {"one": 0.5, "two": 0.5}


def row(number, source="a", image=None, **fields):
    """Return a record that shares nothing with others, unless told to."""
    media = [] if image is None else [{"kind": "image", "uri": "x", "bytes": image.encode()}]
    record = {"question": f"Question {number}?", "responses": ["Yes.", f"No {number}."]}
    return record | {"label": 1 + number % 2, "media": media, "source": source} | fields


def solved(attempts, reasoning="Since."):
    return {"attempts": attempts, "solved": True, "reasoning": reasoning}


def unsolved(attempts=3):
    return {"attempts": attempts, "solved": False}


def questions(rows):
    return [row["question"] for row in rows]


def shards(folder):
    return [shard["sha256"] for shard in read_manifest(folder)["shards"]]


def tangled(count, seed):
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


def composed(*overrides):
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("mix", ["out=x", *overrides]), resolve=True)
