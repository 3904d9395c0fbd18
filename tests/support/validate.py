"""What validation prints and reports."""

import json
from pathlib import Path

HEADS = ("bad", "warning", "error")
Findings = list[tuple[str, str]]  # kind and detail


def found(path: Path) -> tuple[dict[int, Findings], dict[str, Findings]]:
    """Return what a report file says: kinds by row of ``rows.jsonl``, and the rest by place."""
    rows: dict[int, Findings] = {}
    rest: dict[str, Findings] = {}
    for line in path.read_text().splitlines():
        finding = json.loads(line)
        name, _, number = finding["where"].rpartition("/")[2].partition(":")
        if name == "rows.jsonl" and number:
            findings = rows.setdefault(int(number), [])
        else:
            findings = rest.setdefault(f"{name}:{number}" if number else name, [])
        findings.append((finding["kind"], finding["detail"]))
    return rows, rest
