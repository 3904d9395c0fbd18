"""Records to annotate, and what an annotation leaves in its folder."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from support.planned_endpoint import Endpoint

from r1reward.config.compose import REPO
from r1reward.data.annotate.attempts import Preset

PHOTOS = REPO / "recipes" / "photos"
DRAWN = Preset(
    attempts=3, seed=0, temperature=1.0, top_p=1.0, repetition_penalty=1.0, max_tokens=64
)
PROSE = "The first response is nicer."


def record(
    question: str, label: int = 1, source: str = "test", **columns: object
) -> dict[str, Any]:
    responses = [f"{question}: yes.", f"{question}: no."]
    row: dict[str, Any] = {
        "question": question,
        "responses": responses,
        "label": label,
        "media": [],
    }
    return row | {"source": source} | columns


def write(path: Path, *rows: dict[str, Any] | str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def says(choice: int, words: str = "Looked.") -> str:
    return f"<think>{words}</think><answer>{choice}</answer>"


def table(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(sorted(folder.glob("*.parquet"))).to_pylist()
    return rows


def difficulty(folder: Path) -> dict[str, tuple[int | None, bool | None]]:
    return {row["question"]: (row["attempts"], row["solved"]) for row in table(folder)}


def manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def journal(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "answers" / "journal.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "key" in row]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")]


def printed_row(out: str, name: str) -> list[str]:
    [line] = [line for line in out.splitlines() if line.startswith(f"│ {name} ")]
    return cells(line)[1:]


def remote(endpoint: Endpoint, *overrides: str) -> list[str]:
    prices = ["judge.input_price=20", "judge.output_price=200"]
    where = ["judge.model=expert", f"judge.base_url={endpoint.url}"]
    return ["judge=openai", *where, *prices, *overrides]


RIGHT, WRONG = says(2, "B is it."), says(1, "A is it.")  # of records with label 2
