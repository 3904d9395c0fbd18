"""Comparisons of evaluations, with p-values and corrections worked by hand."""

import asyncio
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from r1reward.config.compose import REPO
from r1reward.core.pair import Preference
from r1reward.core.verdict import ParseFailure, Verdict, parse_verdict
from r1reward.eval import compare
from r1reward.eval.benchmarks.mmrlhf_rewardbench import MMRLHFRewardBench
from r1reward.eval.benchmarks.photos import Photos
from r1reward.eval.compare import holm
from r1reward.eval.score.ballots import Ballot, Poll, count
from r1reward.eval.score.items import ItemsError, read_items, write_items
from r1reward.eval.score.results import SCHEMA
from r1reward.eval.score.scoring import summarise
from r1reward.judge.constant import ConstantJudge
from r1reward.judge.item import Item
from r1reward.judge.oracle import OracleJudge
from r1reward.judge.protocol import Protocol

PHOTOS = Photos(REPO / "recipes" / "photos")
STORED = Protocol("test", "stored", "wrong", 0, 1, 0.0, 1.0, 1.0, 10)
BOTH = replace(STORED, order="both")


def item(index, *, cluster=None, group="g", question=None):
    record = Preference(
        question or f"Question {index}?", ("good", "bad"), (), label=1, source="photos"
    )
    return Item.of(
        record,
        index=index,
        id=f"id{index}",
        groups={"official": group},
        subgroup=group,
        cluster=cluster or f"c{index}",
    )


def answer(vote, label):
    if vote == "?":
        return ParseFailure("no_answer", "text")
    return Verdict(label if vote == "r" else 3 - label, "because", True)


def counted(votes, protocol, items):
    """Count the votes of each item: "r", "w" or "?", one letter a prompt."""
    ballots = [
        Ballot(call.item, (answer(vote, call.item.label),))
        for one, letters in zip(items, votes, strict=True)
        for call, vote in zip(protocol.calls(one), letters, strict=True)
    ]
    return count(ballots, protocol)


def save(folder, tallies, protocol, benchmark=PHOTOS, **results):
    """Write an evaluation's results and items, as ``r1reward eval`` does."""
    folder.mkdir()
    content = {
        "schema": SCHEMA,
        "benchmark": benchmark.name,
        "judge": folder.name,
        "score": summarise(tallies, protocol, benchmark).to_dict(),
        "notes": [],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0},
        "timing": {"seconds": 1.25, "asked": 5, "reused": 0},
        **results,
    }
    (folder / "results.json").write_text(json.dumps(content))
    write_items(folder / "items.jsonl", tallies)
    return folder


def made(folder, votes, protocol=STORED, items=None, **results):
    items = items or [item(n) for n in range(len(votes))]
    return save(folder, counted(votes, protocol, items), protocol, **results)


def run(monkeypatch, *folders):
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, folders)])
    compare.main()


def cells(text, start):
    """The cells of the rows of each table whose first cell is ``start``, in order."""
    rows = [line.strip("│").split("│") for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row] for row in rows if row[0].strip() == start]


def refused(monkeypatch, capsys, *folders):
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *folders)
    assert stopped.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error ")
    assert shown.err.count("\n") == 1
    return shown.err


# --- numbers worked by hand


def test_five_items_that_differ_one_way_are_one_in_sixteen(tmp_path, monkeypatch, capsys) -> None:
    first = made(tmp_path / "first", "wwwwwrrww")
    second = made(tmp_path / "second", "rrrrrrrww", usage={"cost": 1.5})
    run(monkeypatch, first, second)
    text = capsys.readouterr().out
    [one], [two, difference] = cells(text, "#1"), cells(text, "#2")
    assert one[:4] == ["#1", "first", "test", "9"]
    assert one[4].startswith("22.2% (")
    # no second order: neither consistency nor flips; always the stored place, which is 1
    assert one[5:] == ["-", "22.2%", "-", "0.0%", "1.2", "-"]
    assert two[4].startswith("77.8% (")
    assert two[10] == "$1.50"
    assert difference[:3] == ["#2", "9", "9!"]
    assert difference[3].startswith("+55.6 (+")
    assert difference[4:] == ["0.0625", "5", "0"]  # 2 of 2^5 signs are as far from 0


@pytest.mark.parametrize(
    ("first", "second", "clusters", "p_value"),
    [
        # +5 -1 = 4: of 64 signs, 2 give 6 and 12 give 4
        ("wwwwwrww", "rrrrrwww", "abcdefgh", 14 / 64),
        # clusters +2, +1, -1: sums 4, 2, 2, 0 and their negatives, and 2 is as far as it goes
        ("wwwr", "rrrw", "aabc", 6 / 8),
        ("wwwww", "rrrrr", "aaaaa", 1.0),  # one cluster is one coin
        ("rwr", "rwr", "abc", 1.0),
    ],
)
def test_p_values_by_hand(first, second, clusters, p_value, tmp_path, monkeypatch, capsys) -> None:
    items = [item(n, cluster=cluster) for n, cluster in enumerate(clusters)]
    folders = [
        made(tmp_path / name, votes, items=items)
        for name, votes in (("first", first), ("second", second))
    ]
    run(monkeypatch, *folders)
    _, difference = cells(capsys.readouterr().out, "#2")
    assert difference[4] == f"{p_value:.4f}"
    won = sum(pair == ("w", "r") for pair in zip(first, second, strict=True))
    lost = sum(pair == ("r", "w") for pair in zip(first, second, strict=True))
    assert difference[5:] == [str(won), str(lost)]


def test_half_an_item_is_won_as_well(tmp_path, monkeypatch, capsys) -> None:
    first = made(tmp_path / "first", ["ww", "rw", "rr", "wr"], BOTH)
    second = made(tmp_path / "second", ["rw", "rr", "rr", "rw"], BOTH)
    run(monkeypatch, first, second)
    text = capsys.readouterr().out
    _, difference = cells(text, "#2")
    # 0, 1/2, 1, 1/2 and 1/2, 1, 1, 1/2: two differ, both one way
    assert difference[3].startswith("+25.0 (")
    assert difference[4:] == ["0.5000", "2", "0"]
    [one] = cells(text, "#1")
    # one of four right in both; says 1: one, both, one, none of two; the second and fourth flip
    assert one[5:9] == ["25.0%", "50.0%", "50.0%", "0.0%"]


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([0.04, 0.01, 0.01, 0.2]) == pytest.approx([0.08, 0.04, 0.04, 0.2])


def test_several_runs_are_corrected_for_their_number(tmp_path, monkeypatch, capsys) -> None:
    votes = ["wwwwwrww", "rrrrrrww", "rrrrrwww", "rrrrrrrw"]  # p: -, 2/32, 14/64, 2/64
    run(monkeypatch, *(made(tmp_path / f"run{n}", one) for n, one in enumerate(votes)))
    text = capsys.readouterr().out
    found = [cells(text, f"#{number}")[1] for number in (2, 3, 4)]
    assert [row[4] for row in found] == ["0.0625", "0.2188", "0.0312"]
    # in order 2/64 x 3, 2/32 x 2, 14/64 x 1
    assert [row[5] for row in found] == ["0.1250", "0.2188", "0.0938"]
    assert [row[6:] for row in found] == [["5", "0"], ["5", "1"], ["6", "0"]]


def test_groups_are_compared_without_p_values(tmp_path, monkeypatch, capsys) -> None:
    items = [item(n, group="cat" if n < 4 else "dog") for n in range(6)]
    first = made(tmp_path / "first", "wwrrrr", items=items)
    second = made(tmp_path / "second", "rrrwww", items=items)
    run(monkeypatch, first, second)
    text = capsys.readouterr().out
    [cat], [dog] = cells(text, "cat"), cells(text, "dog")
    assert cat[:3] == ["cat", "4", "4!"]
    assert cat[3].startswith("+25.0 (")
    assert dog == ["dog", "2", "2!", "-100.0 (-)"]
    assert "exploratory" in text
    assert "(-): all clusters differ alike" in text


# --- what readers must know


def test_trials_are_compared_on_the_items_that_all_have(tmp_path, monkeypatch, capsys) -> None:
    first = made(tmp_path / "first", "wwwrrr")
    second = made(tmp_path / "second", "rrrr", notes=["limit=4: the first items only"])
    run(monkeypatch, first, second)
    text = capsys.readouterr().out
    _, difference = cells(text, "#2")
    assert difference[1] == "4"
    assert difference[3].startswith("+75.0 (")
    assert "warning compared on the 4 items that count in every run; #1 has 6, #2 has 4" in text
    assert "warning #2: limit=4: the first items only" in text


def test_items_that_are_left_out_of_one_run_are_left_out_of_all(
    tmp_path, monkeypatch, capsys
) -> None:
    protocol = replace(STORED, parse="exclude")
    first = made(tmp_path / "first", "w?rw", protocol)
    second = made(tmp_path / "second", "rrr?", protocol)
    run(monkeypatch, first, second)
    text = capsys.readouterr().out
    _, difference = cells(text, "#2")
    assert [difference[1], *difference[4:]] == ["2", "1.0000", "1", "0"]
    assert "compared on the 2 items that count in every run; #1 has 4, #2 has 4" in text
    assert "warning #2: parse=exclude left 1 of 4 items out" in text
    none = made(tmp_path / "none", "?w??", protocol)
    assert "leaves out every item" in refused(monkeypatch, capsys, none, first)


def test_another_protocol_is_named_field_by_field(tmp_path, monkeypatch, capsys) -> None:
    first = made(tmp_path / "first", ["rw", "rr"], BOTH)
    other = replace(STORED, name="other", order="chosen_first", max_tokens=7)
    run(monkeypatch, first, made(tmp_path / "second", "rr", other))
    text = capsys.readouterr().out
    [said] = [line for line in text.splitlines() if "another protocol" in line]
    assert said.startswith("warning #2 ")
    assert said.endswith(": order chosen_first (#1: both), max_tokens 7 (#1: 10)")
    assert "a judge that always says 1 scores 100%" in text
    run(monkeypatch, first, made(tmp_path / "third", ["rr", "ww"], replace(BOTH, name="x")))
    assert "warning" not in capsys.readouterr().out, "a name alone is no difference"


def test_seconds_of_a_resumed_run_are_marked(tmp_path, monkeypatch, capsys) -> None:
    first = made(tmp_path / "first", "rw")
    timing = {"seconds": 0.5, "asked": 0, "reused": 2}
    run(monkeypatch, first, made(tmp_path / "second", "rr", timing=timing))
    text = capsys.readouterr().out
    assert [cells(text, number)[0][9] for number in ("#1", "#2")] == ["1.2", "0.5*"]
    assert "*: of the last session" in text


def test_names_with_brackets_stay_as_they_are(tmp_path, monkeypatch, capsys) -> None:
    first = made(tmp_path / "first", "rw", judge="[bold]x[/bold]")
    run(monkeypatch, first, first)
    assert cells(capsys.readouterr().out, "#2")[0][1] == "[bold]x[/bold]"


# --- what cannot be compared


def test_one_run_is_no_comparison(tmp_path, monkeypatch, capsys) -> None:
    said = refused(monkeypatch, capsys, made(tmp_path / "first", "rw"))
    assert "two evaluations or more" in said


def test_another_benchmark_is_refused(tmp_path, monkeypatch, capsys) -> None:
    first = made(tmp_path / "first", "rw")
    second = made(tmp_path / "second", "rw", benchmark=MMRLHFRewardBench("x"))
    said = refused(monkeypatch, capsys, first, second)
    assert f"{first} is on photos, {second} on mmrlhf_rewardbench" in said


def test_other_data_is_refused(tmp_path, monkeypatch, capsys) -> None:
    first = made(tmp_path / "first", "rww")
    changed = [item(0), item(1), item(2, question="Another?")]
    said = refused(monkeypatch, capsys, first, made(tmp_path / "second", "rww", items=changed))
    assert "row 3 is not the same" in said
    assert "two versions of the benchmark's data" in said


def test_nothing_in_common_is_refused(tmp_path, monkeypatch, capsys) -> None:
    first = made(tmp_path / "first", "rw")
    second = made(tmp_path / "second", "rw", items=[item(2), item(3)])
    assert "no item that all of" in refused(monkeypatch, capsys, first, second)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.json", None, "results.json: cannot be read (No such file or directory)"),
        ("items.jsonl", None, "items.jsonl: cannot be read (No such file or directory)"),
        ("results.json", "{", "results.json: cannot be read (Expecting"),
        ("results.json", '{"schema": 0, "score": {"schema": 1}}', "not of this version"),
        ("items.jsonl", '{"index": 0}\n', "items.jsonl:1: not an item of this version"),
        ("items.jsonl", "[]\n", "items.jsonl:1: not an item of this version"),
        ("items.jsonl", "", "are of two evaluations"),
    ],
)
def test_a_run_that_is_not_whole_says_what_to_do(
    name, content, message, tmp_path, monkeypatch, capsys
) -> None:
    first, second = made(tmp_path / "first", "rw"), made(tmp_path / "second", "rw")
    (second / name).unlink()
    if content is not None:
        (second / name).write_text(content)
    said = refused(monkeypatch, capsys, first, second)
    assert str(second) in said
    assert message in said
    assert "Run the evaluation again" in said
    assert "nothing is asked twice" in said


def test_a_directory_that_is_not_there_is_named(tmp_path, monkeypatch, capsys) -> None:
    first = made(tmp_path / "first", "rw")
    assert "nowhere: no such directory" in refused(monkeypatch, capsys, first, tmp_path / "nowhere")


# --- the file of items


def test_items_come_back_as_they_were_written(tmp_path) -> None:
    items = [item(0, cluster="c"), item(1, cluster="c"), item(2)]
    protocol = replace(BOTH, parse="exclude")
    write_items(tmp_path / "items.jsonl", counted(["rw", "?r", "??"], protocol, items))
    found = read_items(tmp_path / "items.jsonl")
    assert [(one.index, one.uid, one.cluster) for one in found] == [
        (0, items[0].uid, "c"),
        (1, items[1].uid, "c"),
        (2, items[2].uid, "c2"),
    ]
    assert [one.value for one in found] == [0.5, 1.0, None]
    assert found[1].polls == (
        Poll(label=1, right=0, wrong=0, failed=1, first=0),
        Poll(label=2, right=1, wrong=0, failed=0, first=0),
    )
    assert (found[0].groups, found[0].subgroup) == ({"official": "g"}, "g")
    assert [path.name for path in tmp_path.iterdir()] == ["items.jsonl"]


def test_an_item_that_cannot_be_read_is_named(tmp_path) -> None:
    path = tmp_path / "items.jsonl"
    write_items(path, counted("rw", STORED, [item(0), item(1)]))
    path.write_text(path.read_text().replace('"uid"', '"name"', 1))
    with pytest.raises(ItemsError, match=r"items\.jsonl:1: .*name.*Run the evaluation again"):
        read_items(path)


# --- real judges on the photo set


def judged(folder, judge, protocol):
    async def ballots():
        return [
            Ballot(call.item, tuple([parse_verdict(answer.text) async for _, answer in replies]))
            for one in PHOTOS.load()
            for call in protocol.calls(one)
            for replies in [judge.judge(call.item, range(call.votes))]
        ]

    return save(folder, count(asyncio.run(ballots()), protocol), protocol, judge=judge.identity)


def test_an_oracle_beats_a_constant_judge_by_half_of_every_item(tmp_path) -> None:
    constant = ConstantJudge(BOTH, PHOTOS.root, choice=1)
    oracle = OracleJudge(BOTH, PHOTOS.root, accuracy=1.0, seed=0)
    folders = [
        judged(tmp_path / name, judge, BOTH)
        for name, judge in (("constant", constant), ("oracle", oracle))
    ]
    before = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))}
    done = subprocess.run(
        [sys.executable, "-m", "r1reward.eval.compare", *folders],
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    one, [two, difference] = cells(done.stdout, "#1")[0], cells(done.stdout, "#2")
    assert (one[1], two[1]) == (constant.identity, oracle.identity)
    assert one[4].startswith("50.0% (")
    assert one[5:9] == ["0.0%", "100.0%", "100.0%", "0.0%"]
    assert two[4].startswith("100.0% (")
    assert two[5:9] == ["100.0%", "50.0%", "0.0%", "0.0%"]
    assert difference == ["#2", "204", "41", "+50.0 (-)", "<0.0001", "204", "0"]
    assert [row[1] for name in ("fish", "tool") for row in cells(done.stdout, name)] == ["34", "46"]
    assert {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))} == before
    shutil.rmtree(folders[0])
    again = subprocess.run(
        [sys.executable, "-m", "r1reward.eval.compare", *folders], cwd=REPO, capture_output=True
    )
    assert (again.returncode, again.stdout) == (2, b"")
