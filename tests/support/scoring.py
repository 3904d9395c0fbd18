"""Items, ballots and scores that tests of scoring are made of."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from r1reward.config.compose import REPO
from r1reward.core.pair import Position, Preference
from r1reward.core.verdict import ParseFailure, Verdict
from r1reward.eval.benchmarks.base import Place
from r1reward.eval.benchmarks.mmrlhf_rewardbench import MMRLHFRewardBench
from r1reward.eval.benchmarks.multimodal_rewardbench import MultimodalRewardBench
from r1reward.eval.benchmarks.photos import Photos
from r1reward.eval.benchmarks.vlrewardbench import VLRewardBench
from r1reward.eval.score.ballots import Ballot
from r1reward.eval.score.scoring import Grouping, Metrics, Score
from r1reward.judge.item import Item
from r1reward.judge.protocol import Protocol

PHOTOS = Photos(REPO / "recipes" / "photos")
VLRB, MMRLHF, MMRB = VLRewardBench("x"), MMRLHFRewardBench("x"), MultimodalRewardBench("x")
PLAIN = Protocol(
    name="test",
    order="both",
    parse="wrong",
    seed=0,
    votes=1,
    temperature=1.0,
    top_p=1.0,
    repetition_penalty=1.0,
    max_tokens=10,
)
PARSE = ("wrong", "exclude", "coin", "half")


def item(
    index: int = 0,
    *,
    place: Place | None = None,
    label: Position = 1,
    cluster: str | None = None,
) -> Item:
    record = Preference(f"Question {index}?", ("left", "right"), (), label=label, source="bench")
    groups = place.groups if place else {"official": "g"}
    id, subgroup = (place.id, place.subgroup) if place else (f"id{index}", "g")
    return Item.of(
        record, index=index, id=id, groups=groups, subgroup=subgroup, cluster=cluster or id
    )


def verdict(vote: str | None, label: Position) -> Verdict | ParseFailure:
    """A right ("r"), wrong ("w") or unreadable (None) answer where the better is ``label``."""
    if vote is None:
        return ParseFailure("no_answer", "text")
    worse: Position = 2 if label == 1 else 1
    return Verdict(label if vote == "r" else worse, "because", True)


def cast(
    one: Item, protocol: Protocol, votes: Mapping[Position, Sequence[str | None]]
) -> list[Ballot]:
    """The ballots of an item; ``votes`` maps the position of the better response to votes."""
    return [
        Ballot(call.item, tuple(verdict(vote, label) for vote in votes[label]))
        for call in protocol.calls(one)
        for label in [call.item.label]
    ]


def pooled(one: Item, protocol: Protocol, votes: Iterable[str | None]) -> list[Ballot]:
    """The ballots of an item whose votes are one list, dealt to its prompts in turn."""
    rest = iter(votes)
    dealt = {
        at: list(itertools.islice(rest, many)) for at, many in sorted(protocol.plan(one).items())
    }
    return cast(one, protocol, dealt)


def values(metrics: Iterable[Metrics]) -> dict[str, float | None]:
    return {one.name: one.accuracy.value for one in metrics}


def grouping(result: Score, name: str) -> Grouping:
    return next(one for one in result.groupings if one.name == name)
