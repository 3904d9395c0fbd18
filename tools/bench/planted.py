"""Planted copies: changed images and prompts to find, and originals of one make."""

import io
import random
import re
import string
from collections.abc import Callable, Sequence
from functools import partial

from PIL import Image, ImageDraw, ImageEnhance, ImageFont

Picture = Image.Image
Change = Callable[[Picture, random.Random], Picture]


def seeded(*seeds: object) -> random.Random:
    """Return the same generator for the same seeds."""
    return random.Random(repr(seeds))  # noqa: S311 - not a secret


def scaled(image: Picture, _: random.Random, factor: float) -> Picture:
    """Return the image in another size."""
    size = round(image.width * factor), round(image.height * factor)
    return image.resize(size, Image.Resampling.BICUBIC)


def encoded(image: Picture, _: random.Random, format_: str, **options: int) -> Picture:
    """Return the image as a file of another format has it."""
    file = io.BytesIO()
    image.save(file, format_, **options)
    return Image.open(file).convert("RGB")


def brighter(image: Picture, _: random.Random, factor: float) -> Picture:
    """Return the image with all values multiplied."""
    return ImageEnhance.Brightness(image).enhance(factor)


def cut(image: Picture, shares: Sequence[float]) -> Picture:
    """Return the image without these shares of its width or height: left, top, right, bottom."""
    (width, height), (left, top, right, bottom) = image.size, shares
    box = left * width, top * height, width - right * width, height - bottom * height
    begin_x, begin_y, end_x, end_y = map(round, box)
    return image.crop((begin_x, begin_y, end_x, end_y))


def centred(image: Picture, _: random.Random, share: float) -> Picture:
    """Cut the share off each side."""
    return cut(image, [share] * 4)


def cornered(image: Picture, rng: random.Random, share: float) -> Picture:
    """Cut the share off one of left and right, and off one of top and bottom."""
    left, top = rng.choice((0, share)), rng.choice((0, share))
    return cut(image, (left, top, share - left, share - top))


def uneven(image: Picture, rng: random.Random, share: float) -> Picture:
    """Cut off each side a share of its own, at most this one."""
    return cut(image, [rng.uniform(0, share) for _ in range(4)])


def mixed(image: Picture, rng: random.Random) -> Picture:
    """Cut at most 10% off each side, halve the size, and encode as JPEG."""
    return encoded(scaled(uneven(image, rng, 0.1), rng, 0.5), rng, "JPEG", quality=60)


def square(image: Picture, _: random.Random) -> Picture:
    """Return the largest square in the middle."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


CHANGES: dict[str, Change] = {
    **{f"scaled to {f:.0%}": partial(scaled, factor=f) for f in (0.5, 2.0)},
    **{f"JPEG, quality {q}": partial(encoded, format_="JPEG", quality=q) for q in (50, 70, 90)},
    "PNG": partial(encoded, format_="PNG"),
    "WebP, quality 80": partial(encoded, format_="WEBP", quality=80),
    **{f"brightness {f:.0%}": partial(brighter, factor=f) for f in (0.9, 1.15)},
    **{f"{s:.0%} off each side": partial(centred, share=s) for s in (0.05, 0.1, 0.15, 0.2)},
    **{f"{s:.0%} off two sides": partial(cornered, share=s) for s in (0.05, 0.1, 0.15, 0.2)},
    **{f"0 to {s:.0%} off each side": partial(uneven, share=s) for s in (0.05, 0.1, 0.15, 0.2)},
    "0 to 10% off, 50%, JPEG 60": mixed,
    "middle square": square,
}
DRAWING_CHANGES = ("scaled to 50%", "JPEG, quality 50", "0 to 10% off each side")


# Drawings of one layout: what differs is little, and says everything.


def _paper(width: int, height: int) -> tuple[Picture, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), "white")
    return image, ImageDraw.Draw(image)


def figure(rng: random.Random) -> Picture:
    """Return a polygon with named corners, with or without a circle."""
    image, draw = _paper(400, 300)
    corners = [(rng.randint(30, 370), rng.randint(30, 270)) for _ in range(rng.choice((3, 4, 5)))]
    draw.line([*corners, corners[0]], fill="black", width=2)
    if rng.random() < 0.5:
        x, y, r = rng.randint(100, 300), rng.randint(100, 200), rng.randint(30, 90)
        draw.ellipse((x - r, y - r, x + r, y + r), outline="black", width=2)
    for (x, y), name in zip(corners, string.ascii_uppercase, strict=False):
        draw.text((x + 5, y - 12), name, fill="black", font=ImageFont.load_default(16))
    return image


def bars(rng: random.Random) -> Picture:
    """Return a bar chart of six values."""
    image, draw = _paper(480, 360)
    draw.line((50, 20, 50, 320, 460, 320), fill="black", width=2)
    for number in range(6):
        height, left = rng.randint(20, 280), 70 + number * 65
        draw.rectangle((left, 320 - height, left + 40, 320), fill=(70, 110, 180))
        draw.text((left + 5, 325), rng.choice(("Jan", "Feb", "Mar", "Apr")), fill="black")
        draw.text((15, 315 - number * 55), str(number * 10), fill="black")
    return image


def lines(rng: random.Random) -> Picture:
    """Return a line chart of three series."""
    image, draw = _paper(480, 360)
    draw.line((50, 20, 50, 320, 460, 320), fill="black", width=2)
    for colour in ("red", "blue", "green"):
        heights = [rng.randint(60, 280)]
        for _ in range(20):
            heights.append(min(310, max(30, heights[-1] + rng.randint(-40, 40))))
        points = [(50 + 20 * number, height) for number, height in enumerate(heights)]
        draw.line(points, fill=colour, width=2)
    return image


def table(rng: random.Random) -> Picture:
    """Return a table of forty numbers."""
    image, draw = _paper(480, 360)
    for row in range(9):
        draw.line((20, 20 + row * 38, 460, 20 + row * 38), fill="black")
    for column in range(6):
        draw.line((20 + column * 88, 20, 20 + column * 88, 324), fill="black")
    for cell in range(40):
        place = 30 + cell % 5 * 88, 30 + cell // 5 * 38
        draw.text(place, str(rng.randint(0, 9999)), fill="black", font=ImageFont.load_default(14))
    return image


def page(rng: random.Random) -> Picture:
    """Return a page of text."""
    image, draw = _paper(480, 640)
    for top in range(30, 600, 20):
        line = " ".join(_letters(rng, rng.randint(2, 9)) for _ in range(9))
        length = rng.choice((56, 56, 56, 30))
        draw.text((40, top), line[:length], fill="black", font=ImageFont.load_default(14))
    return image


DRAWINGS: dict[str, Callable[[random.Random], Picture]] = {
    "figures": figure,
    "bar charts": bars,
    "line charts": lines,
    "tables": table,
    "pages of text": page,
}
# What is done to them: of CHANGES.
DRAWING_CHANGES = ("scaled to 50%", "JPEG, quality 50", "0 to 10% off each side")


def _letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(string.ascii_lowercase, k=count))


# Prompts of one make.

_THINGS_TEXT = """
apple balloon bench bicycle bird boat book bottle bowl bridge bus cake camera candle car cat
chair clock coat cow cup dog door dress drum fence flag flower fork fountain glove guitar hat
horse kite knife ladder lamp leaf mirror painting piano pillow plate pond roof scarf shelf ship
shoe sign spoon statue street table tent tower train tree truck umbrella vase wall wheel window
zebra
"""
_THINGS = _THINGS_TEXT.split()
_KINDS_TEXT = """
blue bright broken brown carved clean dark empty faded green huge large metal narrow new old
open orange painted pink purple red round shiny short silver small striped tall tiny white
wooden yellow
"""
_KINDS = _KINDS_TEXT.split()
_PLACES_TEXT = """
above behind below beside inside near opposite under
"""
_PLACES = _PLACES_TEXT.split()
_QUESTIONS = (
    "How many {} are there {} the {}?",
    "Is the {} {} the {} in use?",
    "Describe the {} {} the {}.",
    "What is the purpose of the {} {} the {}?",
    "Compare the {} {} the {} with the others.",
)


def prompt(rng: random.Random, sentences: int) -> str:
    """Return questions of one make, in words of a small vocabulary."""

    def thing() -> str:
        return f"{rng.choice(_KINDS)} {rng.choice(_THINGS)}"

    return " ".join(
        rng.choice(_QUESTIONS).format(thing(), rng.choice(_PLACES), thing())
        for _ in range(sentences)
    )


def _another_word(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    words[rng.randrange(len(words))] = rng.choice(_THINGS)
    return " ".join(words)


def _other_order(text: str, rng: random.Random) -> str:
    sentences = re.split(r"(?<=[.?]) ", text)
    start = rng.randrange(1, len(sentences)) if len(sentences) > 1 else 0
    return " ".join(sentences[start:] + sentences[:start])


PROMPT_CHANGES: dict[str, Callable[[str, random.Random], str]] = {
    "the same": lambda text, _: text,
    "in capitals": lambda text, _: text.upper(),
    "other white space": lambda text, _: "  " + text.replace(" ", " \n") + "\t",
    "other punctuation": lambda text, _: text.replace("?", " !").replace(".", ";"),
    "placeholder before": lambda text, _: "<image>\n" + text,
    "words before": lambda text, _: "<image>\nPlease answer: " + text,
    "words after": lambda text, _: text + "\nAnswer with a single word or phrase.",
    "one word changed": _another_word,
    "sentences in another order": _other_order,
}
