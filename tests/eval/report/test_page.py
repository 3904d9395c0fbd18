"""The report as its reader sees it, in a real browser, over judgements known beforehand."""

import json
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from r1reward.config.compose import REPO
from r1reward.eval.benchmarks.photos import Photos
from r1reward.eval.report.leaderboard import leaderboards
from r1reward.eval.report.plots import group_bars, vote_curve
from r1reward.eval.score.intervals import Interval, Rate
from r1reward.eval.score.scoring import Grouping, Metrics, Score, VotePoint
from r1reward.judge.protocol import Protocol
from r1reward.pages.html import PALETTE

ITEMS = 12
SECRET = "sk-not-to-be-seen-0123456789"
# What each row is answered; all others are right in both orders.
WRONG, FLIPPED, UNREADABLE = 1, 2, 3
HOSTILE = (
    "</script><script>document.title = 'owned'</script>"
    "<img src='http://127.0.0.1:9/pixel' onerror=\"document.title = 'owned'\">"
)
SCRIPTED = textwrap.dedent(
    f"""
    from r1reward.judge.base import Answer, Blind

    class Scripted(Blind):
        def __init__(self, protocol, media_root):
            super().__init__(protocol, media_root)
            self.identity = "scripted"

        def choose(self, item, vote):
            label = item.label
            return {{{WRONG}: 3 - label, {FLIPPED}: 1}}.get(item.index, label)

        async def judge(self, item, votes):
            async for vote, answer in super().judge(item, votes):
                if item.index == {UNREADABLE}:
                    answer = Answer({HOSTILE!r})
                yield vote, answer
    """
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An evaluation of the first photo pairs, W&B included."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "scripted_judge.py").write_text(SCRIPTED)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "r1reward.eval.run", f"run.dir={folder}/out", f"limit={ITEMS}"),
            *("judge=oracle", "judge._target_=scripted_judge.Scripted", "~judge.accuracy"),
            *("~judge.seed", "tracking.wandb=true"),
        ],
        cwd=REPO,
        env={
            **os.environ,
            "PYTHONPATH": str(folder),
            "OPENAI_API_KEY": SECRET,
            "WANDB_API_KEY": SECRET,
            "WANDB_MODE": "offline",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


@pytest.fixture
def page(folder, browser):
    return browser.open(folder / "report.html")


def count(page):
    return page.evaluate("document.querySelector('.count').textContent")


def press(page, name):
    page.evaluate(f"document.querySelector('[data-tag=\"{name}\"]').click()")


def rows(page):
    heads = page.evaluate("[...document.querySelectorAll('article b')].map((b) => b.textContent)")
    return [int(head.removeprefix("#")) - 1 for head in heads]


def test_it_loads_alone_and_without_an_error(page) -> None:
    assert page.evaluate("document.title") == "photos: scripted"
    assert page.requests == []
    assert page.errors == []
    assert count(page) == f"{ITEMS} of {ITEMS}"
    assert len(rows(page)) == 10
    assert page.evaluate("document.querySelectorAll('figure svg[role=img]').length") == 2


def test_filters_show_what_they_name(page) -> None:
    expected = {
        "wrong": [WRONG, FLIPPED, UNREADABLE],
        "flipped": [FLIPPED],
        "unparsed": [UNREADABLE],
        "right": [row for row in range(ITEMS) if row not in (WRONG, FLIPPED, UNREADABLE)],
    }
    for name, indices in expected.items():
        press(page, name)
        assert count(page) == f"{len(indices)} of {ITEMS}"
        assert rows(page) == indices
    press(page, "")
    assert count(page) == f"{ITEMS} of {ITEMS}"
    page.evaluate("document.querySelector('[data-step=\"1\"]').click()")
    assert rows(page) == [10, 11]


def test_search_and_groups_narrow(page, folder) -> None:
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    tools = [item["index"] for item in items if item["groups"]["official"] == "tool"]
    assert 0 < len(tools) < 10
    page.evaluate(
        "(() => { const s = document.querySelector('select'); s.value = 'tool';"
        " s.dispatchEvent(new Event('change')); })()"
    )
    assert rows(page) == tools
    page.evaluate(
        "(() => { const s = document.querySelector('input'); s.value = 'no such WORDS';"
        " s.dispatchEvent(new Event('input')); })()"
    )
    assert count(page) == f"0 of {ITEMS}"


def test_a_judgement_shows_picture_answers_and_both_orders(page) -> None:
    press(page, "flipped")
    ready = "Promise.all([...document.images].map((image) => image.decode()))"
    page.evaluate(f"{ready}.then(() => true)")
    assert page.evaluate("document.querySelector('article img').naturalWidth") > 50
    shown = (
        "[...document.querySelectorAll('article .vote')]"
        ".filter((vote) => vote.offsetParent).map((vote) => vote.textContent)"
    )
    [first] = page.evaluate(shown)
    assert first.startswith("chooses Response 1 right")
    page.evaluate("document.querySelectorAll('article .pages button')[1].click()")
    [second] = page.evaluate(shown)
    assert second.startswith("chooses Response 1 wrong")
    better = (
        "[...document.querySelectorAll('article .answer.better h4')]"
        ".filter((head) => head.offsetParent).map((head) => head.textContent)"
    )
    assert page.evaluate(better) == ["Response 2 (the better one)"]


def test_what_a_judge_says_stays_text(page) -> None:
    press(page, "unparsed")
    assert HOSTILE in page.evaluate("document.querySelector('article').textContent")
    assert page.evaluate("document.title") == "photos: scripted"
    assert page.requests == []


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_its_window(width, browser, folder) -> None:
    page = browser.open(folder / "report.html")
    page.show(width, 900)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_wandb_gets_the_judgements_and_no_secret(folder) -> None:
    [table] = folder.glob("wandb/offline-run-*/files/media/table/*.json")
    content = json.loads(table.read_text())
    assert len(content["data"]) == 2 * ITEMS
    columns = {name: place for place, name in enumerate(content["columns"])}
    right = [row[columns["right"]] for row in content["data"]]
    assert right.count(None) == 2  # unreadable in both orders
    assert right.count(False) == 3  # two of the wrong row, one of the flipped
    assert {row[columns["image"]] for row in content["data"]} == {"Image"}  # in its artifact
    assert list(folder.glob("wandb/offline-run-*/files/media/html/*.html"))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


# --- plots and boards, from hand-made scores


def rate(value, low=None, high=None, n=10.0):
    return Rate(value, n, None if low is None else Interval(low, high, "wilson"))


def metrics(name, accuracy):
    none, half = None, rate(0.5)
    return Metrics(name, 10, 10, accuracy, half, half, none, none, half, half, none, none)


def test_bars_are_as_long_as_accuracies() -> None:
    drawn = group_bars([metrics("a", rate(0.25, 0.1, 0.4)), metrics("<b>", rate(0.75, 0.6, 0.9))])
    bars = re.findall(rf'<path d="([^"]*)"[^>]*fill: {PALETTE[0]}', drawn)
    widths = []
    for bar in bars:
        xs = [float(x) for x, _ in re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", bar)]
        widths.append(max(xs) - min(xs))
    assert len(widths) == 2
    assert widths[1] / widths[0] == pytest.approx(3, rel=1e-3)
    assert "a 25.0%, &lt;b&gt; 75.0%" in drawn
    assert "<b>" not in drawn


def test_the_vote_curve_says_what_its_end_is() -> None:
    points = [VotePoint(k, rate(0.5 + k / 10, 0.4, 0.9), 0.9, 1 - 0.5**k) for k in (1, 2, 3)]
    assert "3 votes: majority 80.0%" in vote_curve(points)


def test_a_board_ranks_this_score_among_published_ones() -> None:
    def grouping(name, values, micro):
        groups = tuple(metrics(group, rate(value)) for group, value in values.items())
        return Grouping(name, "", groups, rate(micro), rate(0.7))

    values = {"general": 0.5, "hallucination": 0.9, "reasoning": 0.6}
    protocol = Protocol("default", "both", "wrong", 0, 1, 0.0, 1.0, 1.0, 64)
    empty = Score(
        1, Photos.name, protocol, metrics("overall", rate(0.7)), (), (), (), {}, 0, 0.5, ()
    )
    assert leaderboards(empty, "mine") == []
    score = replace(
        empty, benchmark="vlrewardbench", groupings=(grouping("official", values, 0.70),)
    )
    board = leaderboards(score, "mine")[0]
    assert board.columns == ("general", "hallucination", "reasoning", "overall", "macro")
    judges = [row.judge for row in board.rows]
    place = judges.index("mine")
    # 71.92 and 76.46 are the only printed overall figures above 70 (Table 3).
    assert place == 2
    assert board.rows[place].cells == ("50.00", "90.00", "60.00", "70.00", "70.00")
    assert [row.here for row in board.rows].count(True) == 1
    paper = board.rows[1]
    assert (paper.judge, paper.grouping, paper.order) == (
        "R1-Reward", "r1_reward_compat", "chosen_first",
    )  # fmt: skip
    assert paper.cells == ("63.84", "85.71", "64.78", "71.92", "71.44")
