"""Curves and bars, from the coordinates that are drawn."""

import re
from itertools import pairwise

import numpy as np
import pytest
from support.run_page import texts

from r1reward.pages.html import PALETTE
from r1reward.report import plots
from r1reward.report.history import Story, story


def lines(drawn, colour):
    """The pieces of every line of a plot in this colour, as lists of (x, y)."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*stroke: {colour}', drawn)
    pieces = [piece for path in paths for piece in path.split("M")[1:]]
    pairs = [re.findall(r"([-\d.]+) ([-\d.]+)", piece) for piece in pieces]
    return [[(float(x), float(y)) for x, y in piece] for piece in pairs]


def test_a_value_that_is_no_number_is_a_gap_and_is_counted(full, page) -> None:
    [warning] = texts(page, ".warning")
    assert warning == (
        "Gradient norm (actor/grad_norm): 2 of 6 values are NaN or infinite, first at step 3; the "
        "curve has gaps there."
    )
    told = story(full.dir, ["actor/grad_norm", "reward/final/mean"])
    grad = plots.Panel("Gradient norm", {"gradient norm": "actor/grad_norm"})
    drawn = plots.curves(told, grad).partition("legend")[0]
    broken = [piece for piece in lines(drawn, PALETTE[0]) if len(piece) > 1]
    assert max(map(len, broken)) == 2  # from 1 to 2 only: 4 and 6 have no neighbours
    whole = plots.curves(told, plots.Panel("Reward", {"all": "reward/final/mean"}))
    [line] = [piece for piece in lines(whole, PALETTE[0]) if len(piece) == 6]
    rises = {round(below[1] - above[1], 3) for below, above in pairwise(line)}
    assert max(rises) - min(rises) < 0.01  # a quarter a step


def test_a_long_run_is_smoothed_and_keeps_its_peaks_and_gaps() -> None:
    """One peak of 70 in 280 steps, and a gap: a line is the mean of 280 / 40 = 7 steps."""
    values = np.zeros(280)
    values[139:142] = 0, 70, 0
    values[200:240] = np.nan
    told = Story(steps=np.arange(1, 281), series={"x": values})
    drawn = plots.curves(told, plots.Panel("X", {"x": "x"}))
    pieces = [piece for piece in lines(drawn, PALETTE[0]) if len(piece) > 1]
    faint, bold = pieces[:2], pieces[2:4]  # each before and after the gap
    heights = [max(y for _, y in p[0]) - min(y for _, y in p[0]) for p in (faint, bold)]
    assert heights[0] == pytest.approx(7 * heights[1], rel=1e-2)
    for before, after in (faint, bold):
        assert (after[0][0] - before[-1][0]) / (after[-1][0] - before[0][0]) == pytest.approx(
            41 / 279, rel=0.05
        )


def test_the_bars_of_a_step_are_as_high_as_its_seconds(full) -> None:
    told = story(full.dir, ["timing_s/step", "timing_s/gen", "timing_s/update_actor"])
    phases = {"generation": "timing_s/gen", "update": "timing_s/update_actor"}
    drawn = plots.phases(told, phases, "timing_s/step")
    heights = {}
    for name, colour in zip((*phases, "rest"), PALETTE, strict=False):
        bars = re.findall(rf'<path d="([^"]*)"[^>]*fill: {colour}', drawn)
        ys = [[float(y) for _, y in re.findall(r"([-\d.]+) ([-\d.]+)", bar)] for bar in bars]
        heights[name] = [max(bar) - min(bar) for bar in ys if max(bar) - min(bar) > 0][:6]
    assert len(heights["generation"]) == 6
    unit = heights["generation"][0] / 6
    assert heights["generation"] == pytest.approx([6 * unit] * 6, rel=1e-3)
    assert heights["update"] == pytest.approx([3 * unit] * 6, rel=1e-3)
    assert heights["rest"] == pytest.approx([unit] * 6, rel=1e-3)
