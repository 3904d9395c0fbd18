"""Independent expectations for evaluation: the official scorers, re-told from their protocols.

Also the official files in miniature: right ids and counts, texts and pixels made up. Nothing here
may import the code that it checks.
"""

import io
import itertools
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

# --- scorers


def vl_rewardbench(
    votes: Sequence[Sequence[str | None]], groups: Sequence[str]
) -> tuple[dict[str, float | None], float | None, float | None]:
    """The official scorer: ``votes`` holds, for each item, its first K of "agree", "reject", None.

    Items with an unparsed vote are dropped, ties belong to nobody, and accuracy is agree over
    agree plus reject; overall counts items, macro averages the groups.
    """
    agree: dict[str, int] = {}
    reject: dict[str, int] = {}
    for item, group in zip(votes, groups, strict=True):
        agree.setdefault(group, 0)
        reject.setdefault(group, 0)
        if None in item:
            continue
        if item.count("agree") > len(item) / 2:
            agree[group] += 1
        elif item.count("reject") > len(item) / 2:
            reject[group] += 1
    accuracy = {g: ratio(agree[g], agree[g] + reject[g]) for g in agree}
    overall = ratio(sum(agree.values()), sum(agree.values()) + sum(reject.values()))
    known = [value for value in accuracy.values() if value is not None]
    return accuracy, overall, ratio(sum(known), len(known))


def multimodal_rewardbench(rows: Iterable[tuple[str, str, str, str]]) -> dict[str, float]:
    """The official scorer: ``rows`` holds (ID, Category, "A" or "B", output) in file order."""
    random.seed(123)
    accs: dict[str, list[bool]] = {}
    for row_id, category, label, output in rows:
        if "[[A]]" in output:
            said = "A"
        elif "[[B]]" in output:
            said = "B"
        else:
            said = "A" if random.random() < 0.5 else "B"
        if category == "safety":
            category = "safety/" + ("bias" if row_id.lower()[:5] == "pairs" else "toxicity")
        if category == "reasoning":
            category = "reasoning/" + ("math" if row_id.lower()[:4] == "math" else "coding")
        for key in ("all", category):
            accs.setdefault(key, []).append(said == label)
    return {key: sum(values) / len(values) for key, values in accs.items()}


def mmrlhf_rewardbench(
    rows: Sequence[tuple[str, str, bool]],
) -> tuple[dict[str, float], dict[str, float]]:
    """Acc and Acc+: ``rows`` holds (id, media path, whether chosen > rejected)."""
    keywords = ["mcq", "long", "short", "safety", "video"]
    of = {i: next(k for k in keywords if k in path) for i, path, _ in rows}
    accuracy, plus = {}, {}
    for keyword in ["all", *keywords]:
        inside = [row for row in rows if keyword in ("all", of[row[0]])]
        if inside:
            ids = {row[0] for row in inside}
            accuracy[keyword] = sum(right for *_, right in inside) / len(inside)
            plus[keyword] = sum(
                all(right for i, _, right in inside if i == one) for one in ids
            ) / len(ids)
    return accuracy, plus


def released_vl_rewardbench(
    rows: Iterable[tuple[str, Sequence[float]]],
) -> tuple[dict[str, float], float, float]:
    """The released R1-Reward scorer: ``rows`` holds (id, rewards); the chosen is shown first."""
    right: dict[str, int] = {}
    count: dict[str, int] = {}
    for row_id, rewards in rows:
        if "mmmu" in row_id or "mathverse" in row_id:
            group = "reasoning"
        elif "hallucination" in row_id or "rlhf" in row_id or "rlaif" in row_id:
            group = "hallucination"
        else:
            group = "general"
        count[group] = count.get(group, 0) + 1
        right[group] = right.get(group, 0) + (rewards[0] > rewards[1])
    accuracy = {group: right[group] / count[group] for group in count}
    return accuracy, sum(right.values()) / sum(count.values()), sum(accuracy.values()) / len(count)


def poll_worth(votes: Sequence[str | None], parse: str) -> float | None:
    """What "r", "w" and None (unreadable) votes are worth; None: left out. A coin is one half."""
    if parse == "exclude" and None in votes:
        return None
    right, wrong = votes.count("r"), votes.count("w")
    if right != wrong:
        return 1.0 if right > wrong else 0.0
    return {"wrong": 0.0, "half": 0.5, "coin": 0.5, "exclude": None}[parse]


def vote_curve(items: Iterable[Sequence[Sequence[str | None]]], k: int, parse: str) -> float | None:
    """Mean over every choice of k votes from each poll, counted one by one.

    ``items`` holds the polls of each item. The ratio of expected credit to expected presence.
    """
    credit = present = 0.0
    for polls in items:
        choices = [list(itertools.combinations(poll, k)) for poll in polls]
        draws = list(itertools.product(*choices))
        for draw in draws:
            worth = [w for votes in draw if (w := poll_worth(list(votes), parse)) is not None]
            if worth:
                credit += sum(worth) / len(worth) / len(draws)
                present += 1 / len(draws)
    return ratio(credit, present)


def ratio(top: float, bottom: float) -> float | None:
    """None instead of a division by zero."""
    return top / bottom if bottom else None


# --- official files in miniature

VLRB_IDS = (
    [f"hallucination_pair-{n}" for n in range(448)]
    + [f"RLAIF-V-{n}" for n in range(233)]
    + [f"RLHF-V-{n}" for n in range(68)]
    + [f"wildvision-battle-{n}" for n in range(173)]
    + [f"mathverse_{n}" for n in [*range(148), *range(19)]]
    + [f"mmmu_pro_test_Art_{n}" for n in [*range(145), *range(6)]]
    + [f"jailbreak-Fraud-{n}" for n in range(7)]
    + ["LRVInstruction-000000007746", "politics-Gov_Decision-124", "svit-complex_reasoning-876"]
)


def png(number: int = 0) -> bytes:
    """A one-pixel image, different for each number."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1), (number % 256, number // 256 % 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def vlrb_hub(folder: Path) -> None:
    """The hub's parquet: images inside, ranks, the first answer not always the better."""
    rows = [
        {
            "id": row_id,
            "query": f"<image>\nQuestion {n}?" if n % 3 else f"Question {n}?\n<image>",
            "response": [f"better {n}", f"worse {n}"] if n % 5 else [f"worse {n}", f"better {n}"],
            "image": {"bytes": png(n), "path": f"{n}.png"},
            "human_ranking": [0, 1] if n % 5 else [1, 0],
        }
        for n, row_id in enumerate(VLRB_IDS)
    ]
    parquet(folder / "data" / "test-00000-of-00001.parquet", rows)


def vlrb_repository(folder: Path) -> None:
    """The JSONL of the benchmark's repository: image paths."""
    rows = [
        {
            "id": row_id,
            "image_path": f"images/x/{n}.jpg",
            "query": f"Question {n}?",
            "response": [f"better {n}", f"worse {n}"],
            "human_ranking": [0, 1],
        }
        for n, row_id in enumerate(VLRB_IDS)
    ]
    jsonl(folder / "data.jsonl", rows)


def vlrb_seed(folder: Path) -> None:
    """The JSONL of the R1-Reward release: chosen and rejected."""
    rows = [
        {
            "id": row_id,
            "prompt": f"Question {n}?",
            "chosen": f"better {n}",
            "rejected": f"worse {n}",
            "image": f"vl_reward/img/image_{n}.jpg",
        }
        for n, row_id in enumerate(VLRB_IDS)
    ]
    jsonl(folder / "vl_rewardbench.jsonl", rows)


def mmrlhf_rows() -> list[dict[str, str]]:
    """42/37/34/32/25 pairs over 10/10/10/6/10 ids."""
    sizes = {"mcq": (42, 10), "long": (37, 10), "short": (34, 10), "safety": (32, 6)}
    rows = []
    for category, (pairs, ids) in (sizes | {"video": (25, 10)}).items():
        for n in range(pairs):
            name = f"{category}-{n % ids}"
            kind = "video" if category == "video" else "image"
            path = f"{category}/{name}" + ("" if kind == "video" else ".png")
            texts = {"prompt": f"What of {name}?", "chosen": f"good {n}", "rejected": f"bad {n}"}
            rows.append({"id": name, kind: path, **texts})
    return rows


def mmrlhf_jsonl(folder: Path) -> None:
    """The JSONL of the hub."""
    jsonl(folder / "mm_reward_bench.jsonl", mmrlhf_rows())


def mmrlhf_parquet(folder: Path) -> None:
    """The parquet of the hub: both columns, one of them null."""
    rows = [{"image": None, "video": None} | row for row in mmrlhf_rows()]
    parquet(folder / "data" / "train-00000-of-00001.parquet", rows)


def mmrb_rows(*, toxicity: int = 0, bias: int = 508) -> list[dict[str, Any]]:
    """4,711 rows, or 5,211 with toxicity; some images have two questions, some two pairs."""
    task = "open_generation/{}_task".format
    kinds = [
        ("visitbench", task("correctness"), 221),
        ("nocaps", task("correctness"), 402),
        ("visitbench", task("preference"), 265),
        ("nocaps", task("preference"), 389),
        ("mmmu-s", "knowledge", 330),
        ("mmmu-v", "knowledge", 300),
        ("mathvista", "reasoning", 514),
        ("EMMA-Coding", "reasoning", 300),
        ("image2struct", "reasoning", 284),
        ("pairs", "safety", bias),
        ("hateful-memes", "safety", toxicity),
        ("SEED-Bench", "vqa", 1706 - bias),
    ]
    return [
        {
            "ID": f"{source}_{n}",
            "Category": category,
            "Image": f"images/{source}/{n // 2 if category == 'vqa' else n}.jpg",
            "Text": f"Question {n} of {source}?",
            "Output1": f"one {n}",
            "Output2": f"two {n}",
            "Better": "Output2" if n % 2 else "Output1",
        }
        for source, category, count in kinds
        for n in range(count)
    ]


def mmrb_json(folder: Path) -> None:
    """What the official download script writes."""
    (folder / "all_data.json").write_text(json.dumps(mmrb_rows()))


def mmrb_json_with_toxicity(folder: Path) -> None:
    """The same with Hateful Memes."""
    (folder / "all_data.json").write_text(json.dumps(mmrb_rows(toxicity=500, bias=506)))


def mmrb_parquet(folder: Path) -> None:
    """A mirror's parquet with the images inside, in two shards; equal paths are equal images."""
    rows = mmrb_rows()
    names = sorted({row["Image"] for row in rows})
    content = {name: png(n) for n, name in enumerate(names)}
    for row in rows:
        row["Image"] = {"bytes": content[row["Image"]], "path": None}
    parquet(folder / "data" / "test-00000-of-00002.parquet", rows[:2000])
    parquet(folder / "data" / "test-00001-of-00002.parquet", rows[2000:])


# Benchmark -> the forms that its files are published in.
FILES = {
    "vlrewardbench": [vlrb_hub, vlrb_repository, vlrb_seed],
    "mmrlhf_rewardbench": [mmrlhf_jsonl, mmrlhf_parquet],
    "multimodal_rewardbench": [mmrb_json, mmrb_json_with_toxicity, mmrb_parquet],
}


def jsonl(path: Path, rows: Iterable[object]) -> None:
    """Write one object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def parquet(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows in small row groups, as the hub does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)
