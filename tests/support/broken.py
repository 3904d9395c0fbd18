"""Builds a folder of broken things, each of which must give its own message and stop nothing else.

``write(folder)`` makes ``rows.jsonl`` with its media beside it, ``half.parquet``, ``text.parquet``
and ``empty.jsonl``, and returns what each row is.
"""

import base64
import io
import json
import os
import random
import string
import struct
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


@dataclass(frozen=True)
class Case:
    """A row of ``rows.jsonl``.

    Attributes:
        name: what is the matter with it.
        row: its number in the file, from 1.
        error: kind of its error, or None where it can be used.
        warnings: kinds of its warnings.
        says: a part of what a person must read about it.
    """

    name: str
    row: int
    error: str | None
    warnings: tuple[str, ...] = ()
    says: str = ""


def record(number: int, **fields: object) -> dict[str, Any]:
    """Return a good row with the image ``good.png``; rows of other numbers are not alike."""
    media = [{"kind": "image", "uri": "good.png"}]
    name = "".join(random.Random(number).choices(string.ascii_lowercase, k=30))
    responses = [f"The house of {name} has number {number}.", f"There is a tree, for {name}."]
    return {
        "question": f"What does {name} see behind door {number}?",
        "responses": responses,
        "label": 1 + number % 2,
        "media": media,
        "source": "broken",
    } | fields


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    """Return noise: no two photos are the same, and none compresses to nothing."""
    return Image.frombytes("RGB", size, os.urandom(size[0] * size[1] * 3)).convert(mode)


def bomb() -> bytes:
    """Return a PNG of some hundred bytes that claims 60000 x 60000 pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    )


def write(folder: Path) -> list[Case]:
    """Write everything below ``folder``, which is also the media root."""
    _write_media(folder)
    _write_files(folder)
    lines: list[bytes] = []
    cases: list[Case] = []

    def add(
        name: str,
        error: str | None = None,
        warnings: Iterable[str] = (),
        says: str = "",
        line: bytes | None = None,
        **fields: object,
    ) -> None:
        number = len(lines) + 1
        lines.append(line or json.dumps(record(number, **fields)).encode())
        cases.append(Case(name, number, error, tuple(warnings), says))

    def image(
        name: str,
        uri: str,
        error: str | None = None,
        warnings: Iterable[str] = (),
        says: str = "",
        kind: str = "image",
    ) -> None:
        add(name, error, warnings, says, media=[{"kind": kind, "uri": uri}])

    add("good")
    image("truncated JPEG", "cut.jpg", "media", says="cut.jpg: damaged")
    image("PNG content in a .jpg", "png.jpg", None, ["extension"], "png.jpg: PNG content")
    image("decompression bomb", "bomb.png", "media", says="bomb.png: more than 100,000,000 pixels")
    image("1 x 1 image", "dot.png", "media", says="dot.png: 1 x 1 shows nothing")
    image("small image", "icon.png", None, ["small"], "icon.png: 16 x 40 is enlarged")
    image("CMYK JPEG", "cmyk.jpg", None, ["converted"], "cmyk.jpg: CMYK, converted to RGB")
    image("animated GIF", "moving.gif", None, ["converted", "animated"], "the first is shown")
    image("empty file", "empty.png", "media", says="empty.png: not an image")
    image("folder for an image", "clip", "media", says="clip: not an image")
    image("pipe", "pipe.png", "media", says="pipe.png: a pipe or device")
    image("missing image", "nowhere.png", "media", says="nowhere.png: no such image")
    image("outside the media root", "../secret.png", "media", says="outside the media folder")
    image("remote address", "https://example.com/a.png", "media", says="a remote address")
    text = base64.encodebytes(encoded(photo())).decode()  # a line break every 76 characters
    image("base64 with white space", f"data:image/png;base64, {text}")
    image("base64 that is cut", f"data:image/png;base64,{text[:300]}", "media")
    image("video", "clip", kind="video")
    image("video of different frames", "torn", "media", says="frames of different", kind="video")
    image("video without frames", "void", "media", says="void: no frames in it", kind="video")
    add("invalid UTF-8", "unreadable", says="not a JSON object", line=b'{"question": "\xff\xfe"}')
    add("half a line", "unreadable", says="not a JSON object", line=b'{"question": "What')
    add("a list", "schema", says="expected an object", line=b"[1, 2]")
    add("no source", "schema", says="source=' '", source=" ")
    add('label "3"', "label", says="label='3'; give 1 or 2", label="3")
    add("no answer", "answers", says="give a list of exactly two texts", responses=["One."])
    add("an empty answer", "answers", says="responses[1]='  '", responses=["One.", "  "])
    add("equal answers", "answers", says="both responses are the same", responses=["A.", " A.\n"])
    composed = [unicodedata.normalize(form, "Ein Café.") for form in ("NFC", "NFD")]
    add("answers in other code points", "answers", says="are the same", responses=composed)
    add("control tokens", "control", says="<|im_end|>", question="What?<|im_end|>")
    add("1 MB prompt", "length", says="too many; shorten", question="What is it? " * 90_000)
    again = json.loads(lines[0])
    add("a record again", "duplicate", says="rows.jsonl:1", line=json.dumps(again).encode())
    turned = again | {"responses": again["responses"][::-1], "label": 3 - again["label"]}
    add("a pair turned round", None, ["near_duplicate"], "100% like", json.dumps(turned).encode())
    add("the last good one")
    (folder / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return cases


def _write_media(folder: Path) -> None:
    for name in ("clip", "torn", "void"):
        (folder / name).mkdir()
    for number in range(3):
        (folder / "clip" / f"{number}.png").write_bytes(encoded(photo()))
        (folder / "torn" / f"{number}.png").write_bytes(encoded(photo((64, 48 + 8 * number))))
    whole = encoded(photo((320, 240)), "JPEG")
    files = {
        "good.png": encoded(photo()),
        "cut.jpg": whole[: len(whole) // 2],
        "png.jpg": encoded(photo()),
        "bomb.png": bomb(),
        "dot.png": encoded(photo((1, 1))),
        "icon.png": encoded(photo((16, 40))),
        "cmyk.jpg": encoded(photo(mode="CMYK"), "JPEG"),
        "moving.gif": encoded(photo(), "GIF", save_all=True, append_images=[photo(), photo()]),
        "empty.png": b"",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.png")


def _write_files(folder: Path) -> None:
    (folder / "empty.jsonl").touch()
    table = pa.Table.from_pylist([record(1000 + number) for number in range(50)])
    pq.write_table(table, folder / "half.parquet")
    whole = (folder / "half.parquet").read_bytes()
    (folder / "half.parquet").write_bytes(whole[: len(whole) // 2])
    # A column that says it is text and is not: pyarrow writes what it is given.
    raw = pa.array([b"What is good?", b"\xff\xfe?"], pa.binary()).view(pa.string())
    table = pa.Table.from_pylist([record(2000), record(2001)]).set_column(0, "question", raw)
    pq.write_table(table, folder / "text.parquet")
