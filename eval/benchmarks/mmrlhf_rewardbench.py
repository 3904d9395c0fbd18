"""MM-RLHF-RewardBench (arXiv 2502.10391): 170 pairs over 46 questions, 25 of the pairs on videos.

Sources: github.com/Kwai-YuanQi/MM-RLHF, Hugging Face yifanzhang114/MM-RLHF-RewardBench. The
category is the first keyword in the media path; Acc is the share of right pairs, Acc+ that of ids
whose pairs are all right; equal rewards are wrong. A video shows 32 frames, evenly spaced. The
released R1-Reward scorer groups alike.
"""

from typing import ClassVar

from r1reward.core.pair import Media, Preference
from r1reward.core.rows import Row
from r1reward.eval.benchmarks.base import Benchmark, Place
from r1reward.eval.benchmarks.rows import BenchmarkError, field

_CATEGORIES = ("mcq", "long", "short", "safety", "video")


class MMRLHFRewardBench(Benchmark):
    """Reads the hub's JSONL or parquet, and R1-Reward's pre-formatted JSONL: the same keys."""

    name = "mmrlhf_rewardbench"
    files = ("mm_reward_bench.jsonl", "mmrlhf_rewardbench.jsonl", "data/*.parquet", "*.parquet")
    columns = ("id", "image", "video")
    fetch = (
        "Run `r1reward fetch benchmark=mmrlhf_rewardbench`, or get mm_reward_bench.jsonl and the "
        "folder images of the Hugging Face data set yifanzhang114/MM-RLHF-RewardBench to {root}, "
        "or set benchmark.root to their folder."
    )
    groupings: ClassVar = {"official": "first keyword of the media path"}
    counts: ClassVar = {
        "rows": {170},
        "ids": {46},
        "official/mcq": {42},
        "official/long": {37},
        "official/short": {34},
        "official/safety": {32},
        "official/video": {25},
    }
    example: ClassVar = {
        "id": "31",
        "prompt": "How many dogs are there?",
        "chosen": "There are two dogs.",
        "rejected": "There is one dog.",
        "image": "short/31.png",
    }
    acc_plus = True

    def place(self, row: Row) -> Place:
        """Group by the first keyword in the media path."""
        path = _media(row).uri
        for category in _CATEGORIES:
            if category in path:
                return Place(str(field(row, "id")), {"official": category}, category)
        raise BenchmarkError(f"{path!r} holds none of {', '.join(_CATEGORIES)}")

    def preference(self, row: Row) -> Preference:
        """The file names the better response first, always."""
        responses = field(row, "chosen"), field(row, "rejected")
        media = (_media(row),)
        return Preference(field(row, "prompt"), responses, media, label=1, source=self.name)


def _media(row: Row) -> Media:
    for kind in ("image", "video"):
        if isinstance(path := row.get(kind), str) and path:
            return Media("image" if kind == "image" else "video", path)
    raise BenchmarkError("neither image nor video; one of them holds a path")
