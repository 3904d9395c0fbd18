"""VL-RewardBench (arXiv 2411.17451): 1,250 pairs that small models get wrong.

Sources: github.com/vl-rewardbench/VL_RewardBench (``prompt.py``, ``inference_hf.py``, ``cal.py``),
Hugging Face MMInstruction/VL-RewardBench. The official scorer takes the majority of the first K
votes, each in its own random order; items with an unreadable vote, and ties, leave the
denominator. ``stored`` order says nothing here: 1,245 of the 1,250 rows, and all of the
pre-formatted ones, name the better response first.
"""

import re
from typing import ClassVar

from r1reward.core.pair import Position, Preference
from r1reward.core.rows import Row
from r1reward.eval.benchmarks.base import Benchmark, Place
from r1reward.eval.benchmarks.rows import BenchmarkError, field, images

# Beginning of the id -> source, official group (cal.py since 2025-05-08), group of the released
# R1-Reward get_acc.py, which compares "rlhf" and "rlaif" in lower case and so never finds them.
_SOURCES = {
    "hallucination_pair-": ("povid", "hallucination", "hallucination"),
    "RLAIF-V-": ("rlaif-v", "hallucination", "general"),
    "RLHF-V-": ("rlhf-v", "hallucination", "general"),
    "wildvision-battle-": ("wildvision-battle", "general", "general"),
    "mathverse_": ("mathverse", "reasoning", "reasoning"),
    "mmmu_pro_": ("mmmu-pro", "reasoning", "reasoning"),
    # VLFeedback's own sources
    "jailbreak-": ("vlfeedback", "general", "general"),
    "politics-": ("vlfeedback", "general", "general"),
    "svit-": ("vlfeedback", "general", "general"),
    "LRVInstruction-": ("vlfeedback", "general", "general"),
}
# Two pairs about one image, in the repository's own file.
_COPY = re.compile(r"(?<=\d)_[12]$")
# In the POVID questions of the repository; the official inference takes out those that lead.
_PLACEHOLDER = re.compile(r"<image>\n|\n<image>")


class VLRewardBench(Benchmark):
    """Reads the hub's parquet, the repository's JSONL and R1-Reward's pre-formatted JSONL."""

    name = "vlrewardbench"
    files = ("data/test-*.parquet", "test-*.parquet", "data.jsonl", "vl_rewardbench.jsonl")
    columns = ("id",)
    fetch = (
        "Run `r1reward fetch benchmark=vlrewardbench`, or get data/test-00000-of-00001.parquet of "
        "the Hugging Face data set MMInstruction/VL-RewardBench at revision "
        "49b8e26430f73b021bd0655fcd27ebf0f384fede (later ones dropped three rows) to {root}/data, "
        "or set benchmark.root to its folder."
    )
    groupings: ClassVar = {
        "official": "cal.py since 2025-05-08",
        "r1_reward_compat": "get_acc.py of the R1-Reward release",
    }
    counts: ClassVar = {
        "rows": {1250},
        "ids": {1225, 1232},  # the repository tells 7 of the repeated ones apart: _1 and _2
        "official/general": {183},
        "official/hallucination": {749},
        "official/reasoning": {318},
        "r1_reward_compat/general": {484},
        "r1_reward_compat/hallucination": {448},
        "r1_reward_compat/reasoning": {318},
        "subgroup/povid": {448},
        "subgroup/rlaif-v": {233},
        "subgroup/rlhf-v": {68},
        "subgroup/wildvision-battle": {173},
        "subgroup/vlfeedback": {10},
        "subgroup/mathverse": {167},
        "subgroup/mmmu-pro": {151},
    }
    example: ClassVar = {
        "id": "RLAIF-V-1",
        "query": "How many dogs are there?",
        "response": ["There are two dogs.", "There is one dog."],
        "image": {"bytes": None, "path": "dogs.jpg"},
        "human_ranking": [0, 1],
    }

    def place(self, row: Row) -> Place:
        """Group by the beginning of the id."""
        id = str(field(row, "id"))
        for prefix, (source, official, compat) in _SOURCES.items():
            if id.startswith(prefix):
                return Place(id, {"official": official, "r1_reward_compat": compat}, source)
        raise BenchmarkError(f"id={id!r} begins with none of {', '.join(_SOURCES)}")

    def preference(self, row: Row) -> Preference:
        """Read ``human_ranking`` ([0, 1]: the first is better) or ``chosen`` and ``rejected``."""
        if "prompt" in row or "chosen" in row:
            responses, media = (field(row, "chosen"), field(row, "rejected")), field(row, "image")
            question = field(row, "prompt")
            return Preference(question, responses, images(media), label=1, source=self.name)
        media = images(field(row, "image" if "image" in row else "image_path"))
        ranking, responses = list(field(row, "human_ranking")), tuple(field(row, "response"))
        if ranking not in ([0, 1], [1, 0]):
            raise BenchmarkError(f"human_ranking={ranking}; expected [0, 1] or [1, 0]")
        question = _PLACEHOLDER.sub("", field(row, "query"))
        label: Position = 1 if ranking == [0, 1] else 2
        return Preference(question, responses, media, label=label, source=self.name)

    def cluster(self, row: Row, place: Place) -> str:
        """Pairs with one id are about one image."""
        return _COPY.sub("", place.id)
