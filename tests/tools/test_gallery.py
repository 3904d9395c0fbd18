"""The gallery of experiments is current, and says what the files of conf say."""

import json

import pytest
import yaml
from omegaconf import OmegaConf

from r1reward.config.compose import CONF, compose_config
from r1reward.config.tree import flatten
from r1reward.store.rundir import RunDir
from r1reward.tools import gallery

EXPERIMENTS = [(kind, name) for kind in gallery.KINDS for name in kind.names()]
BASES = {
    "train": flatten(compose_config(["cluster=cpu"])),
    "sft": flatten(compose_config(["cluster=cpu"], config_name="sft")),
}
START = 1_800_000_000.0  # 15 January 2027, 08:00 UTC


def test_the_page_is_current() -> None:
    assert gallery.PAGE.read_text() == gallery.page(), "run `make gallery` and commit the page"


def test_every_experiment_is_there_and_has_a_purpose_and_a_command() -> None:
    files = (CONF / "experiment").glob("*.yaml")
    assert sorted(name for _, name in EXPERIMENTS) == sorted(path.stem for path in files)
    for kind, name in EXPERIMENTS:
        purpose, command = gallery.about((CONF / "experiment" / f"{name}.yaml").read_text())
        assert len(purpose.split()) > 3, name
        assert command.startswith(f"make {kind.config} EXP={name}"), name
        assert command not in purpose


def test_purpose_and_command_are_the_comment_at_the_head() -> None:
    text = "# @package _\n# Tries it:\n#   make train EXP=x MODEL=m\n# Twice.\na:\n  # No.\n"
    assert gallery.about(text) == ("Tries it. Twice.", "make train EXP=x MODEL=m")
    text = "# @package _global_\n# Without it: make sft EXP=y\n"
    assert gallery.about(text) == ("Without it.", "make sft EXP=y")


@pytest.mark.parametrize(("kind", "name"), EXPERIMENTS, ids=lambda value: str(value)[:20])
def test_the_difference_is_what_the_file_writes(kind, name) -> None:
    written = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text()) or {}
    groups = written.pop("defaults", None)
    changed = kind.changed(name)
    base = BASES[kind.config]
    for key, value in flatten(written).items():
        assert key == "" or changed.get(key, (base.get(key),) * 2)[1] == value
    if not groups:  # nothing but what is written
        assert set(changed) <= set(flatten(written))


def cell(variant, setting="base", low=0.8):
    accuracy = {"value": 0.85, "low": low, "high": low and 0.9, "n": 5}
    return {"variant": variant, "setting": setting, "accuracy": accuracy}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """An empty place for results."""
    for name in ("PAGE", "RESULTS", "STUDY"):
        monkeypatch.setattr(gallery, name, tmp_path / name)
    return tmp_path


def finished(root, program, name, *rows, end="finished"):
    run = RunDir(root / program / name)
    run.root.mkdir(parents=True)
    OmegaConf.save({"run": {"name": name}}, run.root / "config.yaml")
    command = ["r1reward", program, f"experiment={name}", "data.steps=2"]
    command += [f'hydra.run.dir="{root}/here"', f"run.root={root}"]
    made_with = {"machine": "2 CPU cores", "revision": "abc123", "command": command}
    start = {"event": "started", "resumed_from": 0, "started": START, **made_with}
    rows = [("event", start), *rows, ("event", {"event": end, "error": "x"})]
    with open(run.journal, "w") as file:
        for second, (kind, fields) in enumerate(rows):
            file.write(json.dumps({"time": START + second, "kind": kind, **fields}) + "\n")
    return run


def test_results_come_from_the_study_and_from_the_runs_that_are_kept(kept) -> None:
    gallery.STUDY.write_text(json.dumps([cell("grpo", "stale", 0.1), cell("grpo")]))
    counts = {"formatted": 20, "consistent": 9, "metrics": {}}
    run = finished(
        kept, "train", "grpo",
        ("validation", {"step": 0, "n": 20, "correct": 10, **counts}),
        ("train", {"step": 1, "metrics": {}}),
        ("train", {"step": 2, "metrics": {}}),
        ("validation", {"step": 2, "n": 20, "correct": 17, **counts}),
    )  # fmt: skip
    gallery.keep(run)
    gallery.keep(
        finished(
            kept, "sft", "cold_start",
            ("train", {"step": 1, "metrics": {"train/loss": 2.0}}),
            ("validation", {"step": 1, "metrics": {"val/loss": 1.25}}),
        )
    )  # fmt: skip
    page = gallery.page()
    assert str(kept) not in page + gallery.RESULTS.read_text()
    # Wilson at z = 1.959964, n = 20: 10 is .5000 and .2007, 17 is .7936 and .1540.
    after, before = "85.0% (64.0% to 94.8%, n = 20)", "50.0% (29.9% to 70.1%, n = 20)"
    assert f"| [grpo](#grpo) | 10 | {after} | 85.0% (80.0% to 90.0%, 5 seeds) |" in page
    assert (
        "Last run, 2027-01-15, 2 CPU cores, revision abc123, `experiment=grpo data.steps=2`: "
        f"{after} after step 2, {before} before."
    ) in page
    assert "| [cold_start](#cold_start) | 0 | loss 1.25 | - |" in page
    assert "loss 1.25 after step 1." in page


def test_a_single_seed_has_no_interval(kept) -> None:
    gallery.STUDY.write_text(json.dumps([cell("grpo", low=None)]))
    assert "| [grpo](#grpo) | 10 | - | 85.0% (5 seeds) |" in gallery.page()


@pytest.mark.parametrize("end", ["failed", "exporting"])
def test_a_run_without_an_end_is_no_result(kept, end) -> None:
    with pytest.raises(gallery.NoResultError, match="not a finished run"):
        gallery.keep(finished(kept, "train", "grpo", end=end))
    assert not gallery.RESULTS.exists()
