"""A real cold start on this machine: torchrun, verl's SFT trainer, FSDP2, kill, resume, export."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from qwen_vl_utils import process_vision_info
from support import wandb_file
from support.waiting import wait_for
from transformers import AutoModelForImageTextToText, AutoProcessor

from r1reward.config.compose import REPO
from r1reward.core.preferences import read_preferences
from r1reward.core.prompt import build_messages
from r1reward.data.media_facts import examine
from r1reward.data.prompt_length import PromptLength
from r1reward.recipes.tiny.reasoning import response_text
from r1reward.run.summary import loss_after
from r1reward.sft import _said
from r1reward.store.rundir import RunDir

PHOTOS = REPO / "recipes" / "photos"
MODEL = REPO / "recipes" / "tiny" / "checkpoint"
RECORDS, BATCH, EPOCHS = 24, 8, 3  # three steps an epoch
ENVIRONMENT = {**os.environ, "WANDB_MODE": "offline"}


def command(root, *overrides):
    return [
        *(sys.executable, "-m", "r1reward.sft", "cluster=cpu", f"run.root={root}"),
        f"data.train_files={root}/train.jsonl",
        f"data.val_files={root}/validation.jsonl",
        f"data.media_root={PHOTOS}",
        *(f"data.train_batch_size={BATCH}", f"data.epochs={EPOCHS}", "data.validate_every=3"),
        *overrides,
    ]


def reasoning(record):
    """A sentence that the model has not learned, so that there is something to learn."""
    text = response_text(record, record.label).removesuffix("<|im_end|>")
    return text.replace("The photo shows", "Looking closely, I can see only")


def write_data(root):
    records = list(read_preferences(PHOTOS / "train.jsonl"))[:RECORDS]
    rows = [record.to_row() | {"reasoning": reasoning(record)} for record in records]
    (root / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # All of one length: torch then takes another dimension for the ragged one.
    (root / "validation.jsonl").write_text(4 * (json.dumps(rows[0]) + "\n"))
    return records


def processes(root) -> list[int]:
    """The processes of the runs below ``root``, whoever started them."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(root).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def scratch_of(root) -> Path:
    """The temporary directory that the training processes of a run share."""
    found = set()
    for pid in processes(root):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if any(item.startswith(b"R1REWARD_RUN=") for item in variables):
            found |= {item[7:].decode() for item in variables if item.startswith(b"TMPDIR=")}
    (directory,) = found
    return Path(directory)


def only_run(root: Path) -> RunDir:
    (directory,) = (root / "cold_start").iterdir()
    return RunDir(directory)


def killed_and_resumed(root: Path, save_every: int) -> RunDir:
    """A run that is killed right after its first checkpoint, then continued to its end."""
    write_data(root)
    options = [f"data.save_every={save_every}"]
    with open(root / "killed.txt", "w") as screen:
        killed = subprocess.Popen(
            command(root, *options),
            cwd=REPO,
            env=ENVIRONMENT,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
        )
        wait_for(lambda: killed.poll() is not None or (root / "cold_start").is_dir())
        run = only_run(root)
        wait_for(lambda: killed.poll() is not None or run.latest_step() == save_every)
        scratch = scratch_of(root)
        assert scratch.is_dir()
        os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    wait_for(lambda: not processes(root))  # what a killed run leaves is gone
    wait_for(lambda: not scratch.exists())
    assert not run.finished()
    before = list(run.rows())
    done = subprocess.run(
        command(root, *options, "resume=auto"),
        cwd=REPO,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(run.rows())[: len(before)] == before  # the journal is continued
    assert f"resuming from step {save_every}" in done.stdout
    assert "cold start (9 steps)" in done.stdout
    assert not processes(root)
    return run


def check_order(run: RunDir, root: Path) -> None:
    """Every epoch sees every record once, whatever was killed on the way."""
    length = PromptLength(str(MODEL), 3136, 12544)
    tokenizer = length.tokenizer
    expected = sum(
        length.count(record, [examine(media, PHOTOS) for media in record.media])
        + len(tokenizer(f"{reasoning(record)}<|im_end|>")["input_ids"])
        for record in write_data(root)
    )
    rows = list(run.history("train"))
    assert [row["step"] for row in rows] == list(range(1, 10))
    tokens = [row["metrics"]["train/global_tokens"] for row in rows]
    assert [sum(tokens[start : start + 3]) for start in (0, 3, 6)] == [expected] * EPOCHS
    assert len({tuple(tokens[start : start + 3]) for start in (0, 3, 6)}) > 1  # shuffled anew


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def trained(root) -> RunDir:
    return killed_and_resumed(root, save_every=3)  # at the end of an epoch


def test_a_killed_run_continues_where_it_was(trained: RunDir, root: Path) -> None:
    starts = [row for row in trained.rows("event") if row["event"] == "started"]
    assert [row["resumed_from"] for row in starts] == [0, 3]
    assert trained.finished()
    assert trained.latest_step() == 9
    check_order(trained, root)


def test_losses_fall(trained: RunDir) -> None:
    losses = [row["metrics"]["train/loss"] for row in trained.history("train")]
    assert losses[-1] < 0.8 * losses[0]
    held_out = [row["metrics"]["val/loss"] for row in trained.history("validation")]
    assert [row["step"] for row in trained.history("validation")] == [3, 6, 9]
    assert held_out[-1] < held_out[0]
    assert loss_after(trained) == held_out[-1]


def test_wandb_knows_it_for_a_cold_start(trained: RunDir) -> None:
    files = wandb_file.offline_runs(trained.root)
    assert len(files) == 2  # killed, and resumed
    runs = wandb_file.written_runs(files)
    assert len({run.run_id for run in runs}) == 1
    assert (runs[-1].run_group, runs[-1].job_type) == ("cold_start", "sft")
    assert list(runs[-1].tags) == ["cold_start", "tiny", "photos_reasoning", "cpu"]
    found = list(wandb_file.records(files[1]))
    assert "train_files" in wandb_file.config(found)["provenance"]["data"]
    logged = [row["train/loss"] for row in wandb_file.history(found) if "train/loss" in row]
    journaled = [row["metrics"]["train/loss"] for row in trained.history("train")]
    assert logged == journaled[3:]


def test_the_trained_model_is_a_hugging_face_model(trained: RunDir) -> None:
    processor = AutoProcessor.from_pretrained(trained.model)
    model = AutoModelForImageTextToText.from_pretrained(trained.model)
    start = AutoModelForImageTextToText.from_pretrained(MODEL)
    pairs = zip(model.parameters(), start.parameters(), strict=True)
    assert not [1 for new, old in pairs if torch.equal(new, old)]  # vision tower and language model
    inputs = processor(
        text=["<|vision_start|><|image_pad|><|vision_end|>What is this?"],
        images=[Image.new("RGB", (112, 112))],
        return_tensors="pt",
    )
    assert model(**inputs).logits.isfinite().all()


def test_the_validation_loss_is_that_of_transformers(trained: RunDir, root: Path) -> None:
    """The trained weights see the same tokens, pixels and places, in another implementation."""
    processor = AutoProcessor.from_pretrained(trained.model)
    model = AutoModelForImageTextToText.from_pretrained(MODEL, dtype=torch.float32)
    # Not the exported weights: verl's merger rounds them to bfloat16.
    saved = trained.checkpoints / "global_step_9" / "model_world_size_1_rank_0.pt"
    weights = torch.load(saved, weights_only=False)
    model.load_state_dict({name: weight.to_local() for name, weight in weights.items()})
    record = next(iter(read_preferences(root / "validation.jsonl")))
    messages = build_messages(record, media_root=PHOTOS, min_pixels=3136, max_pixels=12544)
    images, _ = process_vision_info(messages)
    prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    text = f"{prompt}{reasoning(record)}<|im_end|>"
    start = processor(text=[prompt], images=images, return_tensors="pt")["input_ids"].shape[1]
    inputs = processor(text=[text], images=images, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs).logits[0, start - 1 : -1]
    expected = torch.nn.functional.cross_entropy(logits, inputs["input_ids"][0, start:])
    assert loss_after(trained) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.slow
def test_a_run_killed_within_an_epoch_continues_its_order(tmp_path) -> None:
    check_order(killed_and_resumed(tmp_path, save_every=2), tmp_path)


def test_the_first_error_of_the_last_start_is_what_is_said(tmp_path) -> None:
    run = RunDir(tmp_path)
    for event, fields in (
        *[("started", {}), ("error", {"error": "of old"}), ("started", {})],
        *[("error", {"error": "ValueError: the cause"}), ("error", {"error": "what followed"})],
    ):
        run.event(event, **fields)
    assert _said(run) == "ValueError: the cause"
    run.event("started")
    assert _said(run) is None
