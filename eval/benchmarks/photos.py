"""The embedded photo set (recipes/photos): pairs over photos that no training pair shows.

Text alone says nothing about the label, so a judge that does not look scores 50%. Grouped by what
the photo shows; the pairs of one photo belong together.
"""

from functools import cached_property
from typing import ClassVar

from r1reward.core.pair import Preference
from r1reward.core.preferences import parse_preference
from r1reward.core.rows import Row
from r1reward.eval.benchmarks.base import Benchmark, Place
from r1reward.eval.benchmarks.rows import BenchmarkError, field, read_rows


class Photos(Benchmark):
    """Reads ``test.jsonl``, and ``manifest.jsonl`` for what each photo shows."""

    name = "photos"
    files = ("test.jsonl",)
    columns = ("media",)
    fetch = (
        "It comes with the package; `python -m r1reward.recipes.photos.build` writes "
        "{root}/test.jsonl again."
    )
    groupings: ClassVar = {"official": "what the photo shows"}
    counts: ClassVar = {
        "rows": {204},
        "ids": {41},
        "official/animal": {34},
        "official/fish": {34},
        "official/monument": {38},
        "official/object": {16},
        "official/renewable energy": {36},
        "official/tool": {46},
    }

    def place(self, row: Row) -> Place:
        """Group by the photo's kind."""
        [photo] = field(row, "media")
        kind = self._kinds.get(photo["uri"])
        if kind is None:
            raise BenchmarkError(f"{photo['uri']!r} is not in {self.root / 'manifest.jsonl'}")
        return Place(photo["uri"], {"official": kind}, kind)

    def preference(self, row: Row) -> Preference:
        """The rows are in our schema."""
        return parse_preference({**row, "source": self.name}, where=self.name)

    @cached_property
    def _kinds(self) -> dict[str, str]:
        manifest = read_rows(self.root / "manifest.jsonl")
        return {field(row, "image"): field(row, "kind") for _, row in manifest}
