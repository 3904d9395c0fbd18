"""What validation prints and reports."""

import json

HEADS = ("bad", "warning", "error")


def found(path):
    """Return what a report file says: kinds by row of ``rows.jsonl``, and the rest by place."""
    rows, rest = {}, {}
    for line in path.read_text().splitlines():
        finding = json.loads(line)
        name, _, number = finding["where"].rpartition("/")[2].partition(":")
        place = rows if name == "rows.jsonl" and number else rest
        key = int(number) if place is rows else f"{name}:{number}" if number else name
        place.setdefault(key, []).append((finding["kind"], finding["detail"]))
    return rows, rest
