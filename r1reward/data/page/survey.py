"""Statistics of a data set, row by row in constant memory.

28 bytes of a row with one image are kept (:data:`ROW` and :data:`SIZE`), and the records to read.
"""

import hashlib
import io
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from r1reward.core.media import ImageError, locate
from r1reward.core.pair import Preference
from r1reward.core.preferences import preference_or_error
from r1reward.core.rows import RowError, Unit, files_of, read_unit, units
from r1reward.data.mix.keys import UNKNOWN, difficulty_name
from r1reward.data.shard_rows import read_row
from r1reward.data.validate.rows import language_of
from r1reward.data.workers import in_order
from r1reward.pages.thumbnails import Pictures
from r1reward.store.shards import files_in

Table = NDArray[np.void]  # of ROW or SIZE
Tick = Callable[[str], None]  # is told what is being done
# Lengths are in characters; `better` and `worse` are those of the answers.
ROW = np.dtype(
    [
        ("source", "u2"), ("label", "i1"), ("difficulty", "i1"), ("media", "u4"),
        ("question", "u4"), ("better", "u4"), ("worse", "u4"),
    ]
)  # fmt: skip
SIZE = np.dtype([("width", "u4"), ("height", "u4")])  # of an image, in pixels
_FAULTS = 20  # that are shown, of each kind


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which rows are looked at closely: those with the lowest hashes.

    Attributes:
        seed: of the hashes.
        records: how many are shown.
        languages: of how many the question's language is told.
        pixels: longest side of a picture on the page.
        rows: rows of the data set, from which follows how low a hash must be.
    """

    seed: int
    records: int
    languages: int
    pixels: int
    rows: int

    def below(self, wanted: int) -> int:
        """Return a bound of 64-bit hashes that at least ``wanted`` rows keep, but for a miracle."""
        enough = wanted + 6 * sqrt(wanted) + 10 if wanted else 0.0
        return int(min(1.0, enough / max(self.rows, 1)) * 2**64)


@dataclass(slots=True)
class Survey:
    """What was measured of one unit, or of all.

    Attributes:
        rows: :data:`ROW`.
        sizes: :data:`SIZE` of the images.
        sources: names that ``rows["source"]`` counts.
        languages: of the questions that were looked at.
        cards: records to read, each after its hash.
        images: small pictures of the cards, by name.
        faults: what is wrong -> how many, and the first of them.
    """

    rows: Table = field(default_factory=lambda: np.empty(0, ROW))
    sizes: Table = field(default_factory=lambda: np.empty(0, SIZE))
    sources: list[str] = field(default_factory=list)
    languages: Counter[str] = field(default_factory=Counter)
    cards: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    images: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    def fault(self, kind: str, details: Iterable[str], number: int = 1) -> None:
        """Count something that is wrong."""
        count, first = self.faults.get(kind, (0, []))
        self.faults[kind] = (count + number, [*first, *details][:_FAULTS])


def estimate_rows(path: Path) -> int:
    """Return how many rows a data set has, or a few more: of JSONL, line ends are counted.

    Raises:
        RowError: when a file cannot be read at all.
    """
    return sum(map(_rows_of, files_of(path)))


def _rows_of(file: Path) -> int:
    try:
        if file.suffix == ".parquet":
            return int(pq.read_metadata(file).num_rows)
        with open(file, "rb") as content:
            return 1 + sum(block.count(b"\n") for block in iter(lambda: content.read(1 << 20), b""))
    except (pa.ArrowException, OSError) as error:
        raise RowError(f"{file}: cannot be read ({error})") from None


def survey_unit(unit: Unit, root: Path, sampling: Sampling) -> Survey:
    """Measure the rows of a unit; of images, only the beginning is read."""
    found, pictures = Survey(), Pictures(root, sampling.pixels)
    rows: list[tuple[int, ...]] = []
    sizes: list[tuple[int, int]] = []
    sources: dict[str, int] = {}
    shown, told = sampling.below(sampling.records), sampling.below(sampling.languages)
    for where, raw in read_unit(unit):
        try:
            preference, row = read_row(where, raw)
        except ValueError as error:
            found.fault("record", [f"{where}: {str(error).removeprefix(f'{where}: ')}"])
            continue
        lengths = [len(text) for text in row["responses"]]
        better = lengths.pop(preference.label - 1)
        source = sources.setdefault(preference.source, len(sources))
        difficulty = UNKNOWN if row["solved"] is None else row["solved"] and row["attempts"]
        media = files_in(row)
        rows.append(
            (
                *(source, preference.label, difficulty, len(media)),
                *(len(row["question"]), better, lengths[0]),
            )
        )
        for item in media:
            try:
                sizes += _size(item, root)
            except (ImageError, OSError) as error:
                found.fault("image", [f"{where}: {error}"])
        place = _hash(sampling.seed, row, media)
        if place < told:
            found.languages[language_of(row["question"])] += 1
        if place < shown:
            full = cast(Preference, preference_or_error(where, raw))  # its media hold their files
            names = [name for item in full.all_media() for name in pictures.names(item)]
            found.cards.append((place, _card(where, full, row, difficulty) | {"images": names}))
    found.rows, found.sizes = np.array(rows, ROW), np.array(sizes, SIZE)
    found.sources, found.images = list(sources), pictures.found
    return found


def _hash(seed: int, row: Mapping[str, Any], media: list[dict[str, Any]]) -> int:
    shown = [
        hashlib.sha256(item["bytes"]).hexdigest() if item["bytes"] else item["uri"]
        for item in media
    ]
    said = [seed, *(row[name] for name in ("question", "responses", "label", "source")), shown]
    return int.from_bytes(hashlib.sha256(json.dumps(said).encode()).digest()[:8])


def _size(item: Mapping[str, Any], root: Path) -> list[tuple[int, int]]:
    """Return the size of an image, as its header has it; nothing for a video."""
    if item["kind"] == "video":
        return []
    file = io.BytesIO(item["bytes"]) if item["bytes"] else locate(item["uri"], root)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                return [image.size]
    except (UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise ImageError(str(error).replace(str(file), str(item["uri"]))) from None


def _card(
    where: str, preference: Preference, row: Mapping[str, Any], difficulty: int
) -> dict[str, object]:
    responses, label = row["responses"], row["label"]
    better, worse = len(responses[label - 1]), len(responses[2 - label])
    length = "longer" if better > worse else "shorter" if better < worse else "equal"
    return {
        "where": where.rpartition("/")[2],
        "uid": preference.uid,
        "origin": row["origin"] or "",
        "question": row["question"],
        "responses": responses,
        "label": label,
        "reasoning": row["reasoning"] or "",
        "tags": [length],
        "facets": {
            "source": row["source"],
            "label": f"answer {label}",
            "difficulty": difficulty_name(difficulty),
        },
    }


def survey(path: Path, root: Path, sampling: Sampling, workers: int, tick: Tick) -> Survey:
    """Measure a data set, the same whatever the number of processes.

    Raises:
        RowError: when a file cannot be read.
    """
    total = Survey()
    parts: list[Survey] = []
    tasks = [(unit, root, sampling) for unit in units(path)]
    for number, part in enumerate(in_order(survey_unit, tasks, min(workers, len(tasks)))):
        tick(f"reading {number + 1}/{len(tasks)}")
        total.languages += part.languages
        # Candidates of the units so far: the highest hashes go at once, and with them pictures.
        total.cards = sorted([*total.cards, *part.cards], key=lambda card: card[0])
        total.cards = total.cards[: sampling.records]
        total.images |= part.images
        used = {name for _, card in total.cards for name in card["images"]}
        total.images = {name: image for name, image in total.images.items() if name in used}
        for kind, (number, first) in part.faults.items():
            total.fault(kind, first, number)
        part.cards, part.images = [], {}
        parts.append(part)
    total.sources = sorted({name for part in parts for name in part.sources})
    for part in parts:
        codes = np.array([total.sources.index(name) for name in part.sources] or [0], "u2")
        part.rows["source"] = codes[part.rows["source"]]
    total.rows = np.concatenate([total.rows, *(part.rows for part in parts)])
    total.sizes = np.concatenate([total.sizes, *(part.sizes for part in parts)])
    return total
