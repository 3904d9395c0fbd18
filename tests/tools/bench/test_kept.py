"""Results that are kept, and later ones beside them: shares by hand, and the command."""

import io
import json
import sys

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from r1reward.config.compose import REPO
from r1reward.tools.bench import compare
from r1reward.tools.bench import kept as benchmarks
from r1reward.tools.bench.kept import Figure, beside, content, kept_for

MACHINE = {"gpus": ["NVIDIA H200"], "cpu": "Xeon", "cores": 16, "date": "2026-01-02"}
CFG = OmegaConf.create({"out": "runs/x", "steps": 3, "model": f"{REPO}/recipes/tiny"})


def result(seconds, rate, machine=MACHINE, **settings):
    cfg = OmegaConf.merge(CFG, settings)
    figures = {"s": Figure(seconds, 0.1), "rate": Figure(rate, 0.05, "higher")}
    return content("train", cfg, machine, figures)


def test_a_result_says_nothing_of_where_it_was_made() -> None:
    assert result(1, 1)["settings"] == {"steps": 3, "model": "recipes/tiny"}


@pytest.mark.parametrize(
    ("seconds", "rate", "bad"),
    [
        (2.19, 96.0, []),  # 9.5% slower, 4% less
        (2.21, 96.0, ["s"]),
        (1.0, 200.0, []),  # better is never too far
        (2.0, 94.0, ["rate"]),
        (3.0, 50.0, ["s", "rate"]),
    ],
)
def test_only_what_is_worse_than_allowed_is_bad(seconds, rate, bad) -> None:
    assert beside(result(seconds, rate), result(2.0, 100.0))[1] == bad


def test_a_figure_that_is_gone_is_bad() -> None:
    found = result(2.0, 100.0)
    del found["figures"]["rate"]
    assert beside(found, result(2.0, 100.0))[1] == ["rate"]


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Where results are kept, empty."""
    monkeypatch.setattr(benchmarks, "KEPT", tmp_path)
    return tmp_path


def test_results_are_compared_with_the_same_settings_on_the_same_gpus(folder) -> None:
    two = MACHINE | {"gpus": ["NVIDIA H200"] * 2}
    for name, one in {
        "other_steps": result(1, 1, steps=4), "two": result(1, 1, two), "same": result(1, 1)
    }.items():  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(one))
    found = kept_for(result(5, 5, MACHINE | {"cpu": "Epyc", "date": "2027-01-01"}))
    assert found is not None
    assert found[0].stem == "same"
    assert kept_for(result(5, 5, steps=9)) is None


def test_without_gpus_the_processor_has_to_be_the_same(folder) -> None:
    here, there = (MACHINE | {"gpus": [], "cpu": cpu} for cpu in ("Xeon", "Epyc"))
    (folder / "kept.json").write_text(json.dumps(result(1, 1, here)))
    assert kept_for(result(1, 1, here))
    assert kept_for(result(1, 1, there)) is None


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """The command over a folder of its own: what it prints, and its exit status."""
    folder = tmp_path / "recipes" / "benchmarks"
    monkeypatch.setattr(benchmarks, "KEPT", folder)
    monkeypatch.setattr(compare, "checkout", lambda: tmp_path)

    def run(one, *options):
        path = tmp_path / "bench.json"
        path.write_text(one if isinstance(one, str) else json.dumps(one))
        monkeypatch.setattr(sys, "argv", ["benchmarks", str(path), *options])
        try:
            compare.main()
        except SystemExit as ended:
            return ended.code, capsys.readouterr()
        return 0, capsys.readouterr()

    return run


def test_the_command_keeps_and_compares(command) -> None:
    assert command(result(1.0, 10.0))[0] == 0  # nothing to compare with
    assert command(result(1.0, 10.0), "--keep", "train_h200")[0] == 0
    status, printed = command(result(1.05, 10.0))
    assert status == 0
    assert "+5.0%" in printed.out
    status, printed = command(result(1.2, 10.0))
    assert status == 1
    assert "worse than train_h200.json allows: s" in printed.err


@pytest.mark.parametrize("text", ["{", "{}", '{"schema": 0}'])
def test_what_is_no_result_is_one_message(command, text) -> None:
    status, printed = command(text)
    assert status == 2
    assert "bench.json" in printed.err


def test_every_kept_result_can_be_compared_with() -> None:
    files = sorted(benchmarks.KEPT.glob("*.json"))
    assert files
    for path in files:
        kept = json.loads(path.read_text())
        assert kept_for(kept) == (path, kept)
        console = Console(file=io.StringIO(), width=200)
        table, bad = beside(kept, kept)
        console.print(table)
        assert not bad
        assert kept["machine"]["date"] in console.file.getvalue()
