"""Records to annotate, and what an annotation leaves in its folder."""

import json

import pyarrow.parquet as pq

from r1reward.config.compose import REPO
from r1reward.data.annotate.attempts import Preset

PHOTOS = REPO / "recipes" / "photos"
DRAWN = Preset(
    attempts=3, seed=0, temperature=1.0, top_p=1.0, repetition_penalty=1.0, max_tokens=64
)
PROSE = "The first response is nicer."


def record(question, label=1, source="test", **columns):
    responses = [f"{question}: yes.", f"{question}: no."]
    row = {"question": question, "responses": responses, "label": label, "media": []}
    return row | {"source": source} | columns


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def says(choice, words="Looked."):
    return f"<think>{words}</think><answer>{choice}</answer>"


def table(folder):
    return pq.read_table(sorted(folder.glob("*.parquet"))).to_pylist()


def difficulty(folder):
    return {row["question"]: (row["attempts"], row["solved"]) for row in table(folder)}


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def journal(folder):
    lines = (folder / "answers" / "journal.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "key" in row]


def cells(line):
    return [cell.strip() for cell in line.strip("│").split("│")]


def printed_row(out, name):
    [line] = [line for line in out.splitlines() if line.startswith(f"│ {name} ")]
    return cells(line)[1:]


def remote(endpoint, *overrides):
    prices = ["judge.input_price=20", "judge.output_price=200"]
    where = ["judge.model=expert", f"judge.base_url={endpoint.url}"]
    return ["judge=openai", *where, *prices, *overrides]


RIGHT, WRONG = says(2, "B is it."), says(1, "A is it.")  # of records with label 2
