"""Attempts until right, by a judge whose every attempt is known."""

import asyncio
import collections
import re

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from support.annotate import DRAWN, PHOTOS, PROSE, record, says, table, write

from r1reward.config.compose import CONF, register_resolvers
from r1reward.core.preferences import read_preferences
from r1reward.data.annotate.attempts import Annotation, Preset, PresetError
from r1reward.endpoint.fault import Fault
from r1reward.judge.base import Answer, Blind, Judge, TooManyFaultsError
from r1reward.judge.build import build_judge
from r1reward.store.answers import Journal
from r1reward.store.shards import write_shard


class Scripted(Blind):
    """A question's first word says what becomes of each attempt.

    r: right, w: wrong, u: prose, h: right but with half a character, f: a fault.
    """

    window, identity = 4, "scripted"

    def __init__(self, protocol, asked):
        super().__init__(protocol, PHOTOS)
        self.asked, self.seeds = asked, []

    digest = Judge.digest  # equal records look alike

    def choose(self, item, vote):
        raise NotImplementedError

    async def judge(self, item, votes):
        [vote] = votes
        step = item.question.split()[0][vote]
        label = item.label
        self.asked[item.question, vote] += 1
        self.seeds.append(self.protocol.seed)
        await asyncio.sleep(0)
        texts = {"r": says(label), "w": says(3 - label), "u": PROSE, "h": says(label, "\ud800")}
        yield vote, Answer(texts[step], 10, 2, 0.5) if step in texts else Fault("server", "gone")


def attempted(folder, rows, preset=DRAWN, asked=None, limit=None, max_failures=9):
    """An annotation of ``rows`` that is through, and its rows."""
    source = write(folder / "rows.jsonl", *rows)
    judge = Scripted(preset.protocol(), collections.Counter() if asked is None else asked)
    answers = Journal(folder / "answers.jsonl")
    try:
        annotation = Annotation(source, judge, preset, answers, limit, max_failures)
        asyncio.run(annotation.ask(lambda: None))
        return annotation, list(annotation.rows(lambda _: None))
    finally:
        answers.close()


KNOWN = {
    "r": (1, True),
    "wr": (2, True),
    "ur": (2, True),
    "wur": (3, True),
    "www": (3, False),
    "uuu": (3, False),
    "uwu": (3, False),
    "f": (None, None),
    "wf": (None, None),
    "wwf": (None, None),
}


@pytest.mark.parametrize("label", [1, 2])
def test_attempts_are_those_until_the_right_answer(label, tmp_path) -> None:
    asked = collections.Counter()
    rows = [record(f"{plan} {n}", label) for n in range(3) for plan in KNOWN]
    annotation, found = attempted(tmp_path, rows, asked=asked)
    assert [(row["attempts"], row["solved"]) for row in found] == [*KNOWN.values()] * 3
    for row in found:
        assert row["reasoning"] == (says(label) if row["solved"] else None)
        assert (row["label"], row["responses"][0]) == (label, f"{row['question']}: yes.")
    # An attempt follows one that was wrong or unreadable, and nothing follows the right one.
    expected = {(f"{p} {n}", vote) for n in range(3) for p in KNOWN for vote in range(len(p))}
    assert set(asked) == expected
    assert set(asked.values()) == {1}
    total = annotation.difficulty.total()
    assert (total.records, total.unsolved, total.failed) == (30, 9, 9)
    assert total.solved == {1: 3, 2: 6, 3: 3}
    assert (total.sft, total.rl) == (12, 18)  # rl: 6 + 3 solved late, 9 unsolved
    assert total.unreadable == {"no_answer": 3 * (1 + 1 + 3 + 2)}
    answers = 3 * (1 + 2 + 2 + 3 + 3 + 3 + 3 + 0 + 1 + 2)
    assert annotation.difficulty.usage == {
        "prompt_tokens": 10 * answers,
        "completion_tokens": 2 * answers,
        "cost": 0.5 * answers,
    }
    # Retries that repeat: in www the 2nd and 3rd, in uuu both, in wwf the 2nd.
    assert (annotation.difficulty.retries, annotation.difficulty.repeated) == (3 * 11, 3 * 5)


def test_one_attempt_is_all_or_nothing(tmp_path) -> None:
    once = Preset(1, 0, 0.0, 1.0, 1.0, 64)
    annotation, found = attempted(tmp_path, [record("r"), record("wr")], once)
    assert [(row["attempts"], row["solved"]) for row in found] == [(1, True), (1, False)]
    assert (annotation.difficulty.total().sft, annotation.difficulty.total().rl) == (1, 1)


def test_more_attempts_ask_only_those_that_are_new(tmp_path) -> None:
    asked = collections.Counter()
    rows = [record("r"), record("wwwr"), record("wwwww")]
    two = Preset(2, 0, 1.0, 1.0, 1.0, 64)
    five = Preset(5, 0, 1.0, 1.0, 1.0, 64)
    _, before = attempted(tmp_path, rows, two, asked)
    _, after = attempted(tmp_path, rows, five, asked)
    assert [row["attempts"] for row in before] == [1, 2, 2]
    assert [row["attempts"] for row in after] == [1, 4, 5]
    assert set(asked.values()) == {1}


def test_a_failed_record_goes_on_at_the_attempt_that_failed(tmp_path) -> None:
    asked = collections.Counter()
    attempted(tmp_path, [record("wf")], asked=asked)
    attempted(tmp_path, [record("wf")], asked=asked)
    assert asked == {("wf", 0): 1, ("wf", 1): 2}


def test_equal_records_are_asked_once(tmp_path) -> None:
    asked = collections.Counter()
    _, found = attempted(tmp_path, [record("wr")] * 6, asked=asked)
    assert [row["attempts"] for row in found] == [2] * 6
    assert asked == {("wr", 0): 1, ("wr", 1): 1}


def test_each_session_draws_from_a_seed_of_its_own(tmp_path) -> None:
    """An engine that is seeded alike again repeats its draws: a retry would be no retry."""
    first, _ = attempted(tmp_path, [record("wf"), record("ur")])
    second, _ = attempted(tmp_path, [record("wf"), record("ur"), record("www")])
    assert set(first.judge.seeds) == {0}
    assert set(second.judge.seeds) == {3}  # answers were there: w, u, r


def test_too_many_failures_end_it(tmp_path) -> None:
    rows = [record(f"f {n}") for n in range(4)]
    with pytest.raises(TooManyFaultsError):
        attempted(tmp_path, rows, max_failures=3)
    annotation, _ = attempted(tmp_path, rows, max_failures=4)
    assert [fault["reason"] for fault in annotation.faults] == ["server"] * 4


def test_half_a_character_becomes_a_whole_one(tmp_path) -> None:
    _, found = attempted(tmp_path, [record("h")])
    assert found[0]["reasoning"] == says(1, "\ufffd")


def test_embedded_media_stay_bytes(tmp_path) -> None:
    path = next(read_preferences(PHOTOS / "test.jsonl")).media[0].uri
    shown = [
        {"kind": "image", "uri": "a.webp", "bytes": (PHOTOS / path).read_bytes()},
        {"kind": "image", "uri": path, "bytes": None},
    ]
    write_shard(tmp_path / "in" / "shard-0.parquet", [record("r", media=shown, origin="row 7")])
    answers = Journal(tmp_path / "answers.jsonl")
    judge = Scripted(DRAWN.protocol(), collections.Counter())
    annotation = Annotation(tmp_path / "in", judge, DRAWN, answers, None, 0)
    asyncio.run(annotation.ask(lambda: None))
    write_shard(tmp_path / "out" / "shard-0.parquet", annotation.rows(lambda _: None))
    answers.close()
    [row] = table(tmp_path / "out")
    assert row["media"] == shown
    assert (row["origin"], row["attempts"]) == ("row 7", 1)
    [before], [after] = (list(read_preferences(tmp_path / name)) for name in ("in", "out"))
    assert before == after


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"attempts": 0}, "preset.attempts=0"),
        ({"attempts": 128}, "preset.attempts=128"),
        ({"attempts": 1.5}, "preset.attempts=1.5"),
        ({"attempts": True}, "preset.attempts=True"),
        ({"temperature": "hot"}, "preset.temperature=hot"),
        ({"top_p": 0.0}, "preset.temperature=1.0, top_p=0.0"),
    ],
)
def test_a_preset_that_cannot_be_is_named(changed, message) -> None:
    settings = {name: getattr(DRAWN, name) for name in DRAWN.__dataclass_fields__}
    with pytest.raises(PresetError, match=re.escape(message)):
        Preset(**settings | changed).protocol()


def test_a_greedy_local_judge_is_warned_of() -> None:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("annotate", ["judge=hf", "preset=paper"])
    OmegaConf.resolve(config)
    preset = Preset(**config.preset)
    assert (preset.attempts, preset.temperature) == (3, 0.0)
    judge = build_judge(config.judge, preset.protocol(), PHOTOS)
    [warning] = preset.warnings(judge)
    assert "repeats itself" in warning
    assert list(DRAWN.warnings(judge)) == []
    assert list(Preset(1, 0, 0.0, 1.0, 1.0, 64).warnings(judge)) == []
