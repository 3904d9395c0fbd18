"""Settings that cannot be, the mixture of the paper, and the command."""

import subprocess
import sys

import pytest
from support.mix import composed

from r1reward.config.compose import REPO
from r1reward.core.preferences import read_preferences
from r1reward.data.mix.select import MixError
from r1reward.tools.mix import inputs_of, settings_of


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("take={a:0}", "take.a=0"),
        ("take={a:0.5}", "take.a=0.5"),
        ("fraction={a:1.5}", "fraction.a=1.5"),
        ("split={a:0.5,b:0.4}", "add up to 0.9"),
        ("split={../a:1.0}", r"split\.\.\./a"),
        ("stratify=[label]", "stratify"),
        ("rows=0", "rows=0"),
        ("stock_questions=-1", "stock_questions=-1"),
        ("select.attempts=[3,2]", "attempts"),
        ("shard_mb=0", "shard_mb=0"),
        ("embed=maybe", "embed=maybe"),
        ("select.unsolved=2", "select.unsolved=2"),
    ],
)
def test_a_setting_that_cannot_be_is_named(override, words):
    with pytest.raises(MixError, match=words):
        settings_of(composed("inputs=[x]", override), weighted=False)


def test_settings_that_contradict_each_other():
    with pytest.raises(MixError, match="b is drawn more than once"):
        settings_of(composed("inputs=[x]", "take={a+b:5,b:4}"), weighted=False)
    with pytest.raises(MixError, match="not both"):
        settings_of(composed("inputs=[x]", "take={a:5}"), weighted=True)
    for given, words in (
        ("[]", "list of paths"),
        ("[{path: a, wieght: 2}]", "unknown wieght"),
        ("[{weight: 2}]", "no path"),
        ("[{path: a, weight: 0}]", "weight=0"),
        ("[{path: a, weight: 1}, b]", "all of them"),
        ("[a, ./a]", "more than once"),
    ):
        with pytest.raises(MixError, match=words):
            inputs_of(composed(f"inputs={given}")["inputs"])


def test_the_mixture_of_the_paper():
    cfg = composed("inputs=[x]", "mixture=paper")
    settings = settings_of(cfg, weighted=False)
    [(pool, number)] = settings.take.items()
    assert (number, len(pool.split("+"))) == (100_000, 4)
    assert len(settings.sources) == 8
    assert set(pool.split("+")) < set(settings.sources)


def test_the_command(tmp_path):
    photos = REPO / "recipes" / "photos"
    run = [
        sys.executable,
        "-m",
        "r1reward.tools.mix",
        f"inputs=[{photos}/train.jsonl,{photos}/test.jsonl]",
    ]
    run += [f"out={tmp_path}/out", "split={train: 0.8, validation: 0.2}"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "stock_questions=10" in done.stderr
    run += ["stock_questions=10", "workers=2"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stderr
    sizes = [
        len(list(read_preferences(tmp_path / "out" / part))) for part in ("train", "validation")
    ]
    assert sum(sizes) == 1252
    assert f"│ all    │ 1,252 │ {sizes[0]:>5,} │ {sizes[1]:>10} │" in done.stdout
    assert "1,252 rows in, 1,252 out" in done.stdout
