"""Multimodal RewardBench (arXiv 2502.14191): about 5,000 pairs in six areas.

Sources: github.com/facebookresearch/multimodal_rewardbench (``0_download_data.py``,
``1_run_model_as_judge_gpt4o.py``, ``2_get_accuracy.py``). The official scorer keeps the stored
order, tosses a coin for an unreadable judgement (``random.seed(123)``) and averages over all
rows. The paper has 5,211 rows; 500 of Hateful Memes (safety, toxicity) are not released. The
tables of the R1-Reward paper have seven columns, their plain mean as "overall", and no toxicity.
"""

import hashlib
from typing import ClassVar

from r1reward.core.pair import Position, Preference
from r1reward.core.rows import Row
from r1reward.eval.benchmarks.base import Benchmark, Place
from r1reward.eval.benchmarks.rows import BenchmarkError, field, images

_AREAS = {
    "open_generation/correctness_task": "correctness",
    "open_generation/preference_task": "preference",
    "knowledge": "knowledge",
    "reasoning": "reasoning",
    "safety": "safety",
    "vqa": "vqa",
}
_CODING = ("emma-coding", "image2struct")


class MultimodalRewardBench(Benchmark):
    """Reads ``all_data.json`` of the official download script, or parquet with the images."""

    name = "multimodal_rewardbench"
    files = ("all_data.json", "data/all_data.json", "data/*.parquet", "*.parquet")
    columns = ("ID", "Category")
    fetch = (
        "Run `r1reward fetch benchmark=multimodal_rewardbench` for an unofficial mirror; for the "
        "original, clone github.com/facebookresearch/multimodal_rewardbench, run "
        "scripts/0_download_data.py there, and move data/all_data.json and data/images to {root}, "
        "or set benchmark.root to its folder data."
    )
    groupings: ClassVar = {
        "official": "the six areas of the leaderboard",
        "r1_reward_compat": "the seven columns of the R1-Reward paper",
    }
    counts: ClassVar = {
        "rows": {4711, 5211},
        "official/correctness": {623},
        "official/preference": {654},
        "official/knowledge": {630},
        "official/reasoning": {1098},
        "subgroup/reasoning/math": {514},
        "subgroup/reasoning/coding": {584},
        # Together 1,706; published percentages leave these splits.
        "subgroup/safety/bias": range(506, 509),
        "official/vqa": range(1198, 1201),
        "subgroup/safety/toxicity": {0, 500},
    }
    example: ClassVar = {
        "ID": "nocaps_1",
        "Category": "open_generation/correctness_task",
        "Image": "images/nocaps/1.jpg",
        "Text": "How many dogs are there?",
        "Output1": "There is one dog.",
        "Output2": "There are two dogs.",
        "Better": "Output2",
    }

    def place(self, row: Row) -> Place:
        """Group by ``Category``; split safety and reasoning by the id, as the official scorer."""
        id, category = str(field(row, "ID")), field(row, "Category")
        if category not in _AREAS:
            raise BenchmarkError(f"Category={category!r} is none of {', '.join(_AREAS)}")
        area = _AREAS[category]
        subgroup = _subgroup(area, id)
        column = subgroup.removeprefix("reasoning/") if area == "reasoning" else area
        groups = {"official": area, "r1_reward_compat": column}
        if subgroup == "safety/toxicity":
            del groups["r1_reward_compat"]
        return Place(id, groups, subgroup)

    def preference(self, row: Row) -> Preference:
        """Read ``Better`` ("Output1" or "Output2"); the order of the file is the benchmark's."""
        better = field(row, "Better")
        if better not in ("Output1", "Output2"):
            raise BenchmarkError(f"Better={better!r}; expected 'Output1' or 'Output2'")
        if not row.get("Text"):
            raise BenchmarkError("no Text; 0_download_data.py writes it into all_data.json")
        responses = field(row, "Output1"), field(row, "Output2")
        label: Position = 1 if better == "Output1" else 2
        media = images(field(row, "Image"))
        return Preference(str(row["Text"]), responses, media, label=label, source=self.name)

    def cluster(self, row: Row, place: Place) -> str:
        """Rows of one image belong together; some questions come with several pairs."""
        uri = images(field(row, "Image"))[0].uri
        return hashlib.sha256(uri.encode()).hexdigest()[:16] if uri.startswith("data:") else uri


def _subgroup(area: str, id: str) -> str:
    name = id.lower()
    if area == "safety":
        return "safety/bias" if name.startswith("pairs") else "safety/toxicity"
    if area != "reasoning":
        return area
    if name.startswith("math"):
        return "reasoning/math"
    if name.startswith(_CODING):
        return "reasoning/coding"
    raise BenchmarkError(f"ID={id!r} of reasoning begins with none of math, {', '.join(_CODING)}")
