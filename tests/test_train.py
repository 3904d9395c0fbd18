"""Real training runs: verl's trainer, Ray, FSDP2, vLLM and weight sync, on this machine."""

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import wandb_file
from support.training import (
    ENVIRONMENT,
    MODEL,
    PHOTOS,
    SECRETS,
    command,
    leftovers,
    only_run,
    run,
)
from support.waiting import wait_for

from r1reward.config.compose import REPO
from r1reward.core.preferences import read_preferences
from r1reward.store.rundir import RunDir


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> RunDir:
    """A run of two steps that was killed after the first and resumed."""
    root, before = tmp_path_factory.mktemp("runs"), leftovers()
    with open(root / "killed.txt", "w") as screen:
        killed = subprocess.Popen(
            command(f"run.root={root}"),
            cwd=REPO,
            env=ENVIRONMENT,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
        )
        wait_for(lambda: killed.poll() is not None or (root / "stablereinforce").is_dir())
        this = only_run(root)
        wait_for(lambda: killed.poll() is not None or this.latest_step() == 1)
        os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not this.finished()
    wait_for(lambda: leftovers() <= before)  # what a killed run leaves is gone
    first = list(this.rows("train"))
    run(f"run.root={root}", "resume=auto")
    wait_for(lambda: leftovers() <= before)
    assert list(this.rows("train"))[: len(first)] == first  # the journal is continued
    return only_run(root)


def test_a_killed_run_continues_where_it_was(trained: RunDir) -> None:
    starts = [row for row in trained.rows("event") if row["event"] == "started"]
    assert [row["resumed_from"] for row in starts] == [0, 1]
    assert [row["step"] for row in trained.rows("train")][-1] == 2
    assert trained.latest_step() == 2
    assert trained.finished()


def test_training_batches_report_reward_parts_and_advantage_statistics(trained: RunDir) -> None:
    metrics = list(trained.rows("train"))[-1]["metrics"]
    rows = [json.loads(line) for line in (trained.root / "rollouts" / "2.jsonl").open()]
    assert len(rows) == metrics["rollout/samples"] == 8
    for part in ("acc", "format", "consistency", "final"):
        mean = np.mean([row[part] for row in rows])
        assert metrics[f"reward/{part}/mean"] == pytest.approx(mean), part
    for row in rows:  # the formula of the paper, from the parts kept for each sample
        bonus = 1 + 0.5 * row["consistency"]
        assert row["final"] == row["score"] == row["acc"] * bonus + 0.5 * row["format"]
    labels = {record.uid: record.label for record in read_preferences(PHOTOS / "train.jsonl")}
    assert all(labels[row["record_uid"]] == int(row["gts"]) for row in rows)
    for name in ("advantage/filtered", "actor/preclip_frac", "actor/log_ratio_max", "actor/lr"):
        assert np.isfinite(float(metrics[name])), name


def test_the_rollout_engine_holds_the_weights_and_pixels_of_the_actor(trained: RunDir) -> None:
    # Both engines score the sampled tokens; a blind or stale one would differ by much more.
    metrics = list(trained.rows("train"))[-1]["metrics"]
    assert metrics["training/rollout_probs_diff_mean"] < 1e-3
    assert metrics["training/rollout_actor_probs_pearson_corr"] > 0.9999


def test_validation_counts_are_those_of_the_answers(trained: RunDir) -> None:
    last = list(trained.rows("validation"))[-1]
    rows = [json.loads(line) for line in (trained.root / "validations" / "2.jsonl").open()]
    assert last["n"] == len(rows) == 16
    assert last["correct"] == sum(f"<answer>{row['gts']}</answer>" in row["output"] for row in rows)
    labels = {record.uid: record.label for record in read_preferences(PHOTOS / "validation.jsonl")}
    assert all(labels[row["record_uid"]] == int(row["gts"]) for row in rows)


def test_the_journal_says_what_a_run_was_made_with(trained: RunDir) -> None:
    *_, start = [row for row in trained.rows("event") if row["event"] == "started"]
    content = (PHOTOS / "train.jsonl").read_bytes()
    assert start["data"]["train_files"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert start["versions"]["verl"]


def test_wandb_has_the_run_and_its_validation_pairs(trained: RunDir) -> None:
    files = wandb_file.offline_runs(trained.root)
    assert len(files) == 2  # killed, and resumed
    runs = wandb_file.written_runs(files)
    assert len({one.run_id for one in runs}) == 1
    for one in runs:
        assert (one.run_group, one.job_type) == ("stablereinforce", "train")
        assert list(one.tags) == ["stablereinforce", "tiny", "photos", "cpu"]
    known = wandb_file.config(wandb_file.records(files[-1]))
    *_, start = [row for row in trained.rows("event") if row["event"] == "started"]
    assert known["data"]["train_batch_size"] == 8
    assert known["provenance"] == {
        key: start[key] for key in ("revision", "versions", "machine", "data")
    }
    logged = {row["_step"]: row for row in wandb_file.history(wandb_file.records(files[-1]))}
    (last,) = [row for row in trained.rows("train") if row["step"] == 2]
    assert logged[2]["reward/final/mean"] == last["metrics"]["reward/final/mean"]

    table = wandb_file.tables(files[-1], "validation/pairs")[2]
    shown = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    said = {
        row["record_uid"]: row
        for row in map(json.loads, (trained.root / "validations" / "2.jsonl").open())
    }
    assert {row["record"] for row in shown} == said.keys()
    for row in shown:
        answer = said[row["record"]]
        assert row["better"] == int(answer["gts"])
        assert row["right"] == (answer["acc"] == 1)
        assert row["reasoning"] in answer["output"]
        assert (row["reward"], row["format"]) == (answer["final"], answer["format"])
    pictures = [
        path
        for parts in wandb_file.staged(wandb_file.records(files[-1]))
        for name, path in parts.items()
        if name.endswith(".png")
    ]
    assert pictures
    assert all(max(Image.open(path).size) == 160 for path in pictures)


def test_nothing_that_a_run_leaves_holds_a_secret(trained: RunDir) -> None:
    files = [path for path in trained.root.rglob("*") if path.is_file()]
    kinds = {path.name for path in files} | {path.suffix for path in files}
    assert {"config.yaml", "journal.jsonl", "train.log", "report.html", ".wandb"} <= kinds
    for path in files:
        content = path.read_bytes()
        found = [name for name, value in SECRETS.items() if value.encode() in content]
        assert not found, path


def test_the_trained_actor_is_a_hugging_face_model(trained: RunDir) -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(trained.model)
    model = AutoModelForImageTextToText.from_pretrained(trained.model)
    start = AutoModelForImageTextToText.from_pretrained(MODEL)
    changed = [
        not torch.equal(new, old)
        for new, old in zip(model.parameters(), start.parameters(), strict=True)
    ]
    assert all(changed)  # full fine-tuning: vision tower and language model
    inputs = processor(
        text=["<|vision_start|><|image_pad|><|vision_end|>What is this?"],
        images=[Image.new("RGB", (112, 112))],
        return_tensors="pt",
    )
    assert model(**inputs).logits.isfinite().all()
    assert not list(trained.model.glob("*.bin"))  # safetensors only


def test_pixels_and_mrope_reach_the_log_prob_and_update_passes(tmp_path: Path) -> None:
    """One length for all sequences as well: the answers are cut at the limit, as in a collapse."""
    records = [r for r in read_preferences(PHOTOS / "train.jsonl")]
    same_size = [r for r in records if Image.open(PHOTOS / r.media[0].uri).size == (320, 240)]
    photos = sorted({record.media[0].uri for record in same_size})[:8]
    rows = [{**records[0].to_row(), "media": [{"kind": "image", "uri": uri}]} for uri in photos]
    data = tmp_path / "same.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    run(
        f"run.root={tmp_path}",
        f"data.train_files={data}",
        "data.max_response_length=24",
        "data.epochs=2",
        "trainer.val_before_train=false",
        "data.validate_every=-1",
        "data.save_every=-1",
        "run.export=false",
        "trainer.v1.trainer_mode=probe",
        "+ray_kwargs.ray_init.runtime_env.env_vars.VERL_USE_EXTERNAL_MODULES=support.probe_trainer",
        f"+ray_kwargs.ray_init.runtime_env.env_vars.PYTHONPATH={REPO / 'tests'}",
    )
    this = only_run(tmp_path)
    (probe,) = this.rows("probe")
    assert len(set(probe["lengths"])) == 1
    assert probe["repeated"] == probe["restored"] == 0.0
    assert probe["other_image"] > 1e-4
    assert probe["other_places"] > 1e-4
    _check_places(probe)
    sighted, blind = (row["metrics"] for row in this.rows("train"))
    assert sighted["actor/log_ratio_max"] < 1e-4  # one update: the policy is still the old one
    assert blind["actor/log_ratio_max"] > 1e-3


def _check_places(probe) -> None:
    """M-RoPE by hand: text counts on all axes, an image spans (frames, rows, columns)."""
    ids, places = np.array(probe["ids"]), np.array(probe["places"])
    (frames, rows, columns), merged = probe["grid"][0], 2
    rows, columns = rows // merged, columns // merged
    image = np.flatnonzero(ids == json.loads((MODEL / "config.json").read_text())["image_token_id"])
    assert len(image) == frames * rows * columns
    start = image[0]
    t, h, w = np.indices((frames, rows, columns)).reshape(3, -1) + start
    assert places.shape == (4, len(ids))
    assert (places[0] == np.arange(len(ids))).all()
    assert (places[1:, :start] == np.arange(start)).all()
    assert (places[1:, image] == np.stack([t, h, w])).all()
    after = places[1:, image[-1] + 1 :]
    expected = start + max(frames, rows, columns) + np.arange(after.shape[1])
    assert (after == expected).all()
