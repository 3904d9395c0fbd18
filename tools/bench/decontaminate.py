"""Recall of decontamination on planted copies: ``r1reward bench-decontaminate``.

Photos are copied, changed, and looked for in an index of all of them; what is found of other photos
is wrong. The same is done with drawings of one layout, which are harder to tell apart, and with
prompts. Intervals are Wilson's, 95%. Speed is per second of one core: set OPENBLAS_NUM_THREADS=1,
as the workers of decontamination have it, or idle threads count as well.
"""

import base64
import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from operator import ne

import imagehash
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from rich.console import Console
from rich.table import Table

from r1reward.cli.command import run_command
from r1reward.config.compose import CONF
from r1reward.config.tree import plain
from r1reward.core.errors import ConfigError
from r1reward.core.intervals import wilson_interval
from r1reward.core.media import open_image
from r1reward.data.decontaminate.images import ImageIndex, pixels_digest
from r1reward.data.decontaminate.match import Rules
from r1reward.data.decontaminate.phash import thumbnail
from r1reward.data.decontaminate.prompts import PromptIndex
from r1reward.machine.console import Live, console_on
from r1reward.recipes.photos.build import PHOTOS
from r1reward.tools.bench.kept import file_of, write
from r1reward.tools.bench.planted import (
    CHANGES,
    DRAWING_CHANGES,
    DRAWINGS,
    PROMPT_CHANGES,
    Picture,
    prompt,
    scaled,
    seeded,
)
from r1reward.tools.decontaminate import rules_of

SCHEMA = 1
_PHASH_BITS = 10  # in which pHash alone may differ, for comparison


@dataclass(frozen=True, slots=True)
class Found:
    """How many of ``n`` were found; ``phash`` by one pHash of the whole image."""

    what: str
    found: int
    n: int
    phash: int | None = None


def index_of(images: Iterable[Picture]) -> ImageIndex:
    """Return the index of some images."""
    pairs = [(thumbnail(image), pixels_digest(image)) for image in images]
    return ImageIndex.build([thumb for thumb, _ in pairs], [digest for _, digest in pairs])


def find_copies(
    images: Sequence[Picture],
    index: ImageIndex,
    name: str,
    least: float,
    seed: int,
    strangers: Callable[[int, int], bool],
) -> tuple[Found, set[tuple[int, int]]]:
    """Return how many changed images are found, and the strangers that are found with them."""
    found, alone, wrong = 0, 0, set[tuple[int, int]]()
    for number, image in enumerate(images):
        changed = CHANGES[name](image, seeded(seed, name, number))
        alone += int(imagehash.phash(changed) - imagehash.phash(image)) <= _PHASH_BITS
        matches = {match.image for match in index.find(changed, least)}
        found += number in matches
        wrong |= {(number, other) for other in matches if strangers(number, other)}
    return Found(name, found, len(images), alone), wrong


def _ordered(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)


class Photos:
    """The embedded photos; some of them show the same thing, and three are there twice."""

    def __init__(self, limit: int | None) -> None:
        lines = (PHOTOS / "manifest.jsonl").read_text(encoding="utf-8").splitlines()[:limit]
        listed = [json.loads(line) for line in lines]
        self.images = [Image.open(PHOTOS / photo["image"]).convert("RGB") for photo in listed]
        self._subjects = [photo["subject"] for photo in listed]

    def strangers(self, one: int, other: int) -> bool:
        """Return whether two photos are of different things."""
        return bool(self._subjects[one] != self._subjects[other])


def photos(rules: Rules, limit: int | None, seed: int, live: Live) -> tuple[list[Found], ...]:
    """Return what is found of copies of photos, and what of other photos."""
    shown = Photos(limit)
    index, least = index_of(shown.images), rules.image_similarity
    copies: list[Found] = []
    changed: set[tuple[int, int, str]] = set()
    for name in CHANGES:
        live(f"photos, {name}")
        found, wrong = find_copies(shown.images, index, name, least, seed, shown.strangers)
        copies.append(found)
        changed |= {(*pair, name) for pair in wrong}
    pairs = list(combinations(range(len(shown.images)), 2))
    apart = {pair for pair in pairs if shown.strangers(*pair)}
    alike: set[tuple[int, int]] = set()
    for number, image in enumerate(shown.images):
        matches = index.find(scaled(image, seeded(), 0.5), least)
        alike |= {_ordered(number, match.image) for match in matches}
    wrongly = [
        Found("different things, pairs of photos", len(alike & apart), len(apart)),
        Found("different things, one changed", len(changed), 2 * len(apart) * len(CHANGES)),
        Found("one thing, pairs of photos", len(alike & {*pairs} - apart), len(pairs) - len(apart)),
    ]
    return copies, wrongly


def drawings(rules: Rules, count: int, seed: int, live: Live) -> tuple[list[Found], list[Found]]:
    """Return what is found of copies of drawings, and what of others of the same layout."""
    copies, wrongly = [], []
    for kind, draw in DRAWINGS.items():
        live(kind)
        images = [draw(seeded(seed, kind, number)) for number in range(count)]
        index, wrong = index_of(images), set[tuple[int, int]]()
        for name in DRAWING_CHANGES:
            found, others = find_copies(images, index, name, rules.image_similarity, seed, ne)
            copies.append(replace(found, what=f"{kind}, {name}"))
            wrong |= {_ordered(*pair) for pair in others}
        wrongly.append(Found(f"{kind} of one layout", len(wrong), count * (count - 1) // 2))
    return copies, wrongly


def prompts(rules: Rules, count: int, seed: int) -> tuple[list[Found], list[Found]]:
    """Return what is found of copies of prompts, and what of others of the same make."""
    rng = seeded(seed)
    texts = [prompt(rng, rng.randint(1, 4)) for _ in range(2 * count)]
    planted, others = texts[:count], texts[count:]
    index = PromptIndex(planted, [str(n) for n in range(count)], rules.common_images)

    def found(text: str) -> set[int]:
        matches = index.find(text, rules.prompt_similarity)
        return {one.prompt for one in matches if one.specific >= rules.specific_shingles}

    specific = [n for n in range(count) if index.specific(n) >= rules.specific_shingles]
    copies = []
    for name, change in PROMPT_CHANGES.items():
        hits = sum(index.first[n] in found(change(planted[n], rng)) for n in specific)
        copies.append(Found(name, hits, len(specific)))
    wrong = sum(bool(found(text)) for text in others if text not in planted)
    return copies, [Found("prompts of one make", wrong, len(others))]


@dataclass(frozen=True, slots=True)
class Speed:
    """Images of one kind: opened, and opened and looked for, in a second of one core."""

    what: str
    opened: float
    found: float


def speed(count: int, least: float, live: Live) -> list[Speed]:
    """Return how fast photos are looked for among ``count`` other images."""
    shown = Photos(None).images
    rng = seeded()
    others = []
    for number in range(count):
        live(f"index, image {number:,} of {count:,}")
        one, other = (rng.choice(shown).resize((320, 240)) for _ in range(2))
        blend = Image.blend(one, other, 0.5).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        others.append(blend.rotate(rng.choice((0, 180))))
    index, measured = index_of(others), []
    for format_, size in (("JPEG", (640, 480)), ("JPEG", (1024, 768)), ("PNG", (640, 480))):
        uris = [_file(image.resize(size), format_) for image in shown[: min(count, 100)]]
        opened = _rate(uris, lambda uri: open_image(uri, None))
        found = _rate(uris, lambda uri: index.find(open_image(uri, None), least))
        measured.append(Speed(f"{format_}, {size[0]} x {size[1]}", opened, found))
    return measured


def _file(image: Picture, format_: str) -> str:
    file = io.BytesIO()
    image.save(file, format_, quality=90)
    return "data:image;base64," + base64.b64encode(file.getvalue()).decode()


def _rate(uris: Sequence[str], action: Callable[[str], object]) -> float:
    action(uris[0])
    began = time.process_time()
    for uri in uris:
        action(uri)
    return len(uris) / (time.process_time() - began)


def show(console: Console, title: str, rows: Sequence[Found]) -> None:
    """Print shares and their intervals."""
    table = Table(title, "found", "of", "share (95%)", title_justify="left")
    alone = any(row.phash is not None for row in rows)
    if alone:
        table.add_column("pHash alone")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        low, high = wilson_interval(row.found, row.n)
        share = f"{row.found / max(1, row.n):.2%} ({low:.2%} to {high:.2%})"
        other = [f"{row.phash / max(1, row.n):.1%}"] if row.phash is not None else []
        table.add_row(row.what, f"{row.found:,}", f"{row.n:,}", share, *other)
    console.print(table)


def measure(cfg: DictConfig) -> None:
    """Measure, print tables and write them."""
    for key in ("drawings", "prompts", "images"):
        if not isinstance(cfg[key], int) or cfg[key] < 2:
            raise ConfigError(f"{key}={cfg[key]}: give 2 or more")
    given = OmegaConf.load(CONF / "decontaminate.yaml")
    assert isinstance(given, DictConfig)
    rules, console = rules_of(plain(given)), console_on(sys.stdout)
    with Live(console) as live:
        found = {
            "photos": photos(rules, cfg.photos, cfg.seed, live),
            "drawings": drawings(rules, cfg.drawings, cfg.seed, live),
            "prompts": prompts(rules, cfg.prompts, cfg.seed),
        }
        rates = speed(cfg.images, rules.image_similarity, live)
    for name, (copies, wrongly) in found.items():
        what = "prompts that are specific" if name == "prompts" else name
        show(console, f"copies of {what}", copies)
        show(console, "wrongly found", wrongly)
    for rate in rates:
        console.print(
            f"{rate.what}: {rate.opened:,.0f} images/s opened, {rate.found:,.0f} images/s opened "
            f"and looked for among {cfg.images:,}, on one core"
        )
    content = {
        "schema": SCHEMA,
        "rules": asdict(rules),
        "found": {n: [[asdict(row) for row in rows] for rows in both] for n, both in found.items()},
        "speed": [asdict(rate) for rate in rates],
    }
    path = file_of(cfg)
    write(path, content)
    console.print(f"{path}", markup=False)


def main() -> None:
    """Run the command."""
    run_command("bench_decontaminate", measure)


if __name__ == "__main__":
    main()
