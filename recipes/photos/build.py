"""Writer of the preference pairs and ATTRIBUTION.md, from manifest.jsonl.

    python -m r1reward.recipes.photos.build [--out DIR] [--seed 0]

A pair asks what a photo shows: the right answer names its kind, the wrong one another kind, in
the same words. Text alone says nothing about the label: for every two kinds, each is right as
often as the other, and every (photo, wrong kind) comes in both orders.
"""

import argparse
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, cycle, islice
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, unquote, urlparse

from r1reward.cli.command import user_errors
from r1reward.core.pair import Media, Preference

PHOTOS = Path(__file__).resolve().parent
NAMES = {
    "animal": "an animal",
    "fish": "a fish",
    "monument": "a monument",
    "object": "an everyday object",
    "renewable energy": "a source of renewable energy",
    "tool": "a tool",
}
# Kinds that can both be true of one photo: a fish is an animal, a tool is an object, and some of
# the windmills and dams are monuments.
COMPATIBLE = {
    frozenset(pair)
    for pair in (("fish", "animal"), ("tool", "object"), ("renewable energy", "monument"))
}
QUESTIONS = (
    "What is shown in this photo?",
    "What does this picture show?",
    "What can you see in this image?",
)
ANSWERS = ("The photo shows {}.", "This is a picture of {}.", "I can see {} in this image.")
HELD_OUT = {"validation": 0.20, "test": 0.23}  # of the photos of a kind; the rest is for training
ROUNDS = {"train": 2, "validation": 1, "test": 1}  # each adds the same pairs in other words


@dataclass(frozen=True, slots=True)
class Photo:
    """One line of manifest.jsonl; photos of one ``subject`` never part."""

    image: str  # path relative to this folder
    kind: str  # a key of NAMES
    label: str  # what it shows, for people
    subject: str  # the very thing photographed
    license: str
    author: str
    source: str  # URL

    @property
    def title(self) -> str:
        """The file's or picture's title at its source."""
        url = urlparse(self.source)
        picture = parse_qs(url.query).get("picture")
        return unquote(picture[0] if picture else url.path.rsplit("/")[-1].removeprefix("File:"))


def read_manifest() -> list[Photo]:
    """Return every photo, in the manifest's order."""
    lines = (PHOTOS / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [Photo(**json.loads(line)) for line in lines]


def split_photos(photos: Iterable[Photo], rng: random.Random) -> dict[str, dict[str, list[Photo]]]:
    """Return split -> kind -> photos, stratified by kind, whole subjects at a time."""
    splits: dict[str, dict[str, list[Photo]]] = {name: {} for name in ROUNDS}
    photos = list(photos)
    for kind in NAMES:
        subjects: dict[str, list[Photo]] = {}
        for photo in photos:
            if photo.kind == kind:
                subjects.setdefault(photo.subject, []).append(photo)
        total = sum(map(len, subjects.values()))
        queue = list(subjects.values())
        rng.shuffle(queue)
        for name, share in HELD_OUT.items():
            held = splits[name][kind] = []
            while len(held) < round(share * total):
                held.extend(queue.pop())
        splits["train"][kind] = [photo for group in queue for photo in group]
    return splits


def make_pairs(kinds: dict[str, list[Photo]], rounds: int, rng: random.Random) -> list[Preference]:
    """Return the shuffled pairs of one split, no two equal.

    In a round, every two kinds that exclude each other give each of them as many right answers
    as the rarer of the two has photos; a kind's photos take turns, so that all are used.
    """
    turns = {kind: cycle(rng.sample(photos, len(photos))) for kind, photos in kinds.items()}
    pairs: dict[Preference, None] = {}
    for first, second in combinations(NAMES, 2):
        if frozenset((first, second)) in COMPATIBLE:
            continue
        size = rounds * min(len(kinds[first]), len(kinds[second]))
        for right, wrong in ((first, second), (second, first)):
            for photo in islice(turns[right], size):
                for label in (1, 2):
                    while (pair := make_pair(photo, wrong, label, rng)) in pairs:
                        pass  # a later round met the same words: draw others
                    pairs[pair] = None
    return rng.sample(list(pairs), len(pairs))


def make_pair(photo: Photo, wrong: str, label: Literal[1, 2], rng: random.Random) -> Preference:
    """Return one pair; ``label`` is the position of the right answer."""
    template = rng.choice(ANSWERS)
    right_answer, wrong_answer = (template.format(NAMES[kind]) for kind in (photo.kind, wrong))
    responses = (right_answer, wrong_answer) if label == 1 else (wrong_answer, right_answer)
    return Preference(
        question=rng.choice(QUESTIONS),
        responses=responses,
        label=label,
        media=(Media("image", photo.image),),
        source="photos",
    )


def attribution(photos: Iterable[Photo]) -> str:
    """Return ATTRIBUTION.md: every photo with title, author, licence and source."""
    head = [
        "# Attribution",
        "",
        "All photos are in the public domain or under CC0-1.0, as their sources state. They were",
        "collected by the GCompris project (package `gcompris-qt-data`), scaled down there, and",
        "re-encoded here as WebP. Generated from `manifest.jsonl`.",
        "",
        "| file | shows | title | author | licence | source |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows = [
        f"| {Path(photo.image).name} | {photo.label} | {photo.title} | {photo.author} "
        f"| {photo.license} | <{photo.source}> |"
        for photo in photos
    ]
    return "\n".join(head + rows) + "\n"


def build(out: Path, seed: int) -> dict[str, int]:
    """Write every split and ATTRIBUTION.md into ``out``; return the number of pairs per split."""
    photos, rng, counts = read_manifest(), random.Random(seed), {}  # noqa: S311 - not a secret
    out.mkdir(parents=True, exist_ok=True)
    for name, kinds in split_photos(photos, rng).items():
        pairs = make_pairs(kinds, ROUNDS[name], rng)
        rows = [json.dumps(pair.to_row(), ensure_ascii=False) for pair in pairs]
        (out / f"{name}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
        counts[name] = len(rows)
    (out / "ATTRIBUTION.md").write_text(attribution(photos), encoding="utf-8")
    return counts


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description="Write the photo preference pairs.")
    parser.add_argument("--out", type=Path, default=PHOTOS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with user_errors():
        for name, count in build(options.out, options.seed).items():
            print(f"{name}: {count} pairs")


if __name__ == "__main__":
    main()
