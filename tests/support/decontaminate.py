"""Records, photos and files that tests of decontamination are made of."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from r1reward.config.compose import REPO
from r1reward.core.pair import Media, Position, Preference
from r1reward.data.decontaminate.match import Rules

PHOTOS = REPO / "recipes" / "photos"
SPLITS = {
    name: [json.loads(line) for line in (PHOTOS / f"{name}.jsonl").read_text().splitlines()]
    for name in ("train", "test")
}
RULES = Rules("either", True, 0.9, 0.6, 50, 3)
LONG = "Which of the three wooden ladders behind the old windmill is the longest, and why?"
STOCK = "Describe this image in detail."


def record(
    question: str = STOCK,
    *uris: object,
    kind: Literal["image", "video"] = "image",
    responses: tuple[str, str] = ("Yes.", "No."),
    label: Position = 1,
    source: str = "test",
) -> Preference:
    media = tuple(Media(kind, str(uri)) for uri in uris)
    return Preference(question, responses, media, label=label, source=source)


def small(split: str, count: int) -> list[dict[str, Any]]:
    """Return rows about different photos, of those that are quickly written."""
    found: dict[str, dict[str, Any]] = {}
    for row in SPLITS[split]:
        uri = row["media"][0]["uri"]
        if max(Image.open(PHOTOS / uri).size) <= 320:
            found.setdefault(uri, row)
    return list(found.values())[:count]


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
