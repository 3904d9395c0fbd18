"""Lines of JSON on disk: every value can be written, a torn line is skipped."""

import json
from collections.abc import Mapping
from typing import Any


def parse(line: bytes) -> Any:
    """Return the row of a journal line, or None for a torn one; its journal knows its type."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def number(value: object) -> float | None:
    """Return a metric read from the journal, NaN and infinity included; None if it is no number."""
    if isinstance(value, int | float) or value in ("nan", "inf", "-inf"):
        return float(value)
    return None


def jsonable(value: Any) -> Any:
    """Return ``value`` as JSON can say it: arrays as numbers, NaN and infinity as text."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if hasattr(value, "item"):  # NumPy and torch scalars
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return str(value)
    return value
