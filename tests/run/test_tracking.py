"""What trackers are told, read back from what W&B and TensorBoard keep on the disk."""

import base64
import hashlib
import json
import shutil
import subprocess
import sys

import pytest
from omegaconf import OmegaConf
from PIL import Image
from support import wandb_file
from support.wandb_server import WandbServer

from r1reward.config.compose import REPO, compose_config
from r1reward.core.preferences import read_preferences
from r1reward.run.provenance import data_hashes
from r1reward.run.tracking import describe, show_table
from r1reward.run.validation_pairs import COLUMNS, PairTable
from r1reward.store.rundir import RunDir
from r1reward.store.shards import write_manifest, write_shard
from r1reward.tools.wandb_sync import unsent

PHOTOS = REPO / "recipes" / "photos"
MADE_WITH = {
    "revision": "abc123-dirty",
    "versions": {"verl": "0.9.1"},
    "machine": "2 CPU cores",
    "data": {"train_files": "sha256:00"},
}

# A run of one process, as verl's Tracking makes it (verl/utils/tracking.py:78).
LOGGED = """
import sys
from pathlib import Path

import wandb
from omegaconf import OmegaConf
from PIL import Image

from r1reward.store.rundir import RunDir
from r1reward.launch.session import environment
from r1reward.run.tracking import describe, show_table

import os

root = Path(sys.argv[1])
cfg = OmegaConf.create({
    "run": {"name": "no_filter", "tags": ["no_filter", "tiny", "a, b"]},
    "trainer": {"logger": ["wandb"], "device": "cuda"},
})
os.environ.update(environment(cfg, RunDir(root), "token", "model", "train"))
wandb.init(project="r1-reward", name="no_filter", entity=None, config={"data": {"steps": 2}})
describe({"wandb": wandb}, RunDir(root))
picture = Image.new("RGB", (32, 16), "red")
step = int(sys.argv[2])
rows = [[picture, "why?", 1.5], [None, "no image", None]]
show_table({"wandb": wandb}, "validation/pairs", ("image", "question", "reward"), rows, step)
wandb.log({"accuracy": 0.5 + step}, step=step)
wandb.finish()
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A run of a sweep that was started twice, without a key."""
    root = tmp_path_factory.mktemp("runs") / "sweeps" / "filters" / "filter=none"
    root.mkdir(parents=True)
    for step in (0, 1):
        RunDir(root).event("started", resumed_from=step, **MADE_WITH)
        done = subprocess.run(
            [sys.executable, "-c", LOGGED, str(root), str(step), "--password=ray-nobody-may-see"],
            env={"PATH": "/usr/bin:/bin", "HOME": str(root / "home"), "PYTHONPATH": str(REPO)},
            cwd=REPO,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    return root


def test_wandb_knows_a_run_by_sweep_kind_and_choices(swept) -> None:
    first, second = (list(wandb_file.records(f)) for f in wandb_file.offline_runs(swept))
    run, again = wandb_file.the_run(first), wandb_file.the_run(second)
    assert run.run_id == again.run_id  # resumed: the same one
    assert (run.run_group, run.job_type, run.display_name) == ("filters", "train", "no_filter")
    assert list(run.tags) == ["no_filter", "tiny", "a  b"]
    assert wandb_file.config(first)["data"] == {"steps": 2}
    assert wandb_file.config(first)["provenance"] == MADE_WITH
    assert not run.git.remote_url
    kept = b"".join(path.read_bytes() for path in swept.rglob("wandb/**/*") if path.is_file())
    assert b"no_filter" in kept
    assert b"ray-nobody-may-see" not in kept


def test_tables_wait_in_the_run_directory_with_their_images(swept) -> None:
    for step, file in enumerate(wandb_file.offline_runs(swept)):
        ((logged, table),) = wandb_file.tables(file, "validation/pairs").items()
        assert logged == step
        assert table["columns"] == ["image", "question", "reward"]
        assert [row[1:] for row in table["data"]] == [["why?", 1.5], ["no image", None]]
        (parts,) = wandb_file.staged(wandb_file.records(file))
        assert all(path.is_relative_to(swept / "wandb" / "data") for path in parts.values())
        (picture,) = [path for name, path in parts.items() if name.endswith(".png")]
        assert Image.open(picture).getpixel((0, 0))[:3] == (255, 0, 0)
    assert not (swept / "home" / ".local").exists()


# --- sent later

KEY = "0123456789abcdef0123456789abcdef01234567"


def sync(folder, **variables):
    """What ``make wandb-sync`` does, in an environment of its own."""
    home = {"PATH": "/usr/bin:/bin", "HOME": str(folder / "home"), "WANDB_MODE": "offline"}
    command = [sys.executable, "-m", "r1reward.tools.wandb_sync", str(folder)]
    return subprocess.run(command, env=home | variables, cwd=REPO, capture_output=True, text=True)


def test_without_a_key_nothing_is_sent_and_the_person_is_told(swept) -> None:
    done = sync(swept)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error no W&B key is here: set WANDB_API_KEY")


def test_both_parts_of_a_resumed_run_are_sent_with_their_images(swept, tmp_path) -> None:
    with WandbServer() as server:
        done = sync(swept, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url)
        assert done.returncode == 0, done.stdout + done.stderr
        again = sync(swept, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url)
    assert KEY not in done.stdout + done.stderr
    assert again.stdout == f"nothing to send below {swept}\n"
    assert len({run["name"] for run in server.runs}) == 1
    assert {run["groupName"] for run in server.runs} == {"filters", None}  # None: no change
    ((_, rows),) = server.history.items()
    assert [(row["_step"], row["accuracy"]) for row in rows] == [(0, 0.5), (1, 1.5)]
    table = json.loads(server.uploads["validation/pairs.table.json"])
    image = table["data"][0][0]["path"]
    assert server.uploads[image].startswith(b"\x89PNG")
    assert base64.b64encode(f"api:{KEY}".encode()).decode() in str(server.keys)


def test_what_cannot_be_sent_is_sent_by_the_next_try(swept, tmp_path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(swept, copy, ignore=shutil.ignore_patterns("*.synced"))
    done = sync(copy, WANDB_API_KEY="short", WANDB_BASE_URL="http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.endswith("error not all of it was sent; the same command sends the rest\n")
    assert len(unsent([copy])) == 2


# --- TensorBoard


def test_tensorboard_is_told_the_same_as_text(tmp_path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from verl.utils.tracking import _TensorboardAdapter

    run = RunDir(tmp_path)
    run.event("started", resumed_from=0, **MADE_WITH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORBOARD_DIR", str(tmp_path / "tensorboard"))
        tensorboard = _TensorboardAdapter("project", "name")
    trackers = {"tensorboard": tensorboard}
    describe(trackers, run)
    rows = [[Image.new("RGB", (8, 8)), "**why?** <b>", 1.5]]
    show_table(trackers, "validation/pairs", ("image", "question", "reward"), rows, 3)
    tensorboard.finish()
    kept = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(kept.Tags()["tensors"]) == {
        "provenance/text_summary",
        "validation/pairs/text_summary",
    }
    (made,) = kept.Tensors("provenance/text_summary")
    assert "    revision: abc123-dirty" in made.tensor_proto.string_val[0].decode()
    (pairs,) = kept.Tensors("validation/pairs/text_summary")
    assert pairs.step == 3
    lines = pairs.tensor_proto.string_val[0].decode().splitlines()
    # Indented, it is no markup.
    assert lines == ["    - question: '**why?** <b>'", "      reward: 1.5"]


# --- the table of validation pairs


def answers(records, right):
    """What a model says of each record, and the parts of its reward."""
    found = {}
    for place, record in enumerate(records):
        choice = record.label if place in right else 3 - record.label
        text = f"<think>I see {place}.</think><answer>{choice}</answer>"
        parts = {
            "final": place / 2,
            "format": 1.0,
            "consistency": 0.0,
            "consistency_failure_kind": "",
        }
        found[record.uid] = (text, parts)
    return found


@pytest.fixture(scope="module")
def photos():
    data = compose_config(["cluster=cpu"]).data
    OmegaConf.resolve(data)
    return data, list(read_preferences(PHOTOS / "validation.jsonl"))


def test_the_same_pairs_are_shown_whatever_the_order_of_answers(photos) -> None:
    data, records = photos
    said = answers(records, right=set(range(50)))
    table = PairTable(data, most=8)
    first = [dict(zip(COLUMNS, row, strict=True)) for row in table.rows(said)]
    turned = dict(reversed(said.items()))
    again = [dict(zip(COLUMNS, row, strict=True)) for row in PairTable(data, 8).rows(turned)]
    assert len(first) == 8
    assert [row["record"] for row in first] == [row["record"] for row in again]
    # The smallest hashes, so that a longer list of pairs keeps most of them.
    hashes = sorted(hashlib.sha256(record.uid.encode()).hexdigest() for record in records)
    shown = {hashlib.sha256(row["record"].encode()).hexdigest() for row in first}
    assert shown == set(hashes[:8])


def test_a_row_shows_the_pair_the_verdict_and_the_parts_of_the_reward(photos) -> None:
    data, records = photos
    by_uid = {record.uid: (place, record) for place, record in enumerate(records)}
    right = set(range(0, len(records), 2))
    for row in PairTable(data, most=6).rows(answers(records, right)):
        cells = dict(zip(COLUMNS, row, strict=True))
        place, record = by_uid[cells["record"]]
        assert cells["question"] == record.question
        assert (cells["response 1"], cells["response 2"]) == record.responses
        assert cells["better"] == record.label
        assert cells["right"] is (place in right)
        assert cells["choice"] == (record.label if place in right else 3 - record.label)
        assert cells["reasoning"] == f"I see {place}."
        assert (cells["reward"], cells["format"], cells["consistency"]) == (place / 2, 1.0, 0.0)
        with Image.open(PHOTOS / record.media[0].uri) as whole:
            assert max(cells["image"].size) == 160 < max(whole.size)
            ratio = cells["image"].width / cells["image"].height
            assert ratio == pytest.approx(whole.width / whole.height, rel=0.02)


def test_what_cannot_be_read_is_shown_as_it_is(photos) -> None:
    data, records = photos
    parts = {"final": 0.0, "format": 0.0, "consistency": 0.0, "consistency_failure_kind": ""}
    (row,) = PairTable(data, most=4).rows({records[0].uid: ("I cannot tell", parts)})
    cells = dict(zip(COLUMNS, row, strict=True))
    assert (cells["choice"], cells["right"], cells["reasoning"]) == (None, False, "I cannot tell")


def test_several_images_stand_side_by_side_and_missing_ones_are_left_out(tmp_path) -> None:
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (320, 160), colour).save(tmp_path / f"{name}.png")
    media = [{"kind": "image", "uri": f"{name}.png"} for name in ("a", "gone", "b")]
    row = {"question": "Q?", "responses": ["A.", "B."], "label": 1, "media": media, "source": "s"}
    (tmp_path / "val.jsonl").write_text(json.dumps(row))
    data = OmegaConf.create({"val_files": [str(tmp_path / "val.jsonl")], "media_root": None})
    (record,) = read_preferences(tmp_path / "val.jsonl")
    ((_, image, *_),) = PairTable(data, most=4).rows(answers([record], right={0}))
    assert image.size == (320, 80)
    assert image.getpixel((10, 40)) == (255, 0, 0)
    assert image.getpixel((310, 40)) == (0, 0, 255)


# --- the hash of the data


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_a_data_set_is_known_by_its_manifest_a_file_by_its_content(tmp_path) -> None:
    folder, loose = tmp_path / "set", tmp_path / "loose"
    folder.mkdir()
    loose.mkdir()
    write_manifest(folder, [write_shard(folder / "00.parquet", [{"question": "Q?"}])])
    (loose / "b.jsonl").write_text("two\n")
    (loose / "a.jsonl").write_text("one\n")
    (tmp_path / "val.jsonl").write_text("three\n")
    data = {"train_files": [str(folder), str(loose)], "val_files": str(tmp_path / "val.jsonl")}
    manifest, content = sha256((folder / "manifest.json").read_bytes()), b"one\ntwo\n"
    assert data_hashes(data) == {
        "train_files": f"{manifest} (manifest.json), {sha256(content)}",
        "val_files": sha256(b"three\n"),
    }
    assert data_hashes({"train_files": [], "val_files": None}) == {}


def test_what_would_take_long_is_not_hashed(tmp_path) -> None:
    with open(tmp_path / "large.jsonl", "wb") as file:
        file.truncate(3 << 30)  # no block of it is on the disk
    data = {"train_files": str(tmp_path / "large.jsonl"), "val_files": None}
    assert data_hashes(data) == {"train_files": "not hashed (3.0 GiB without manifest.json)"}
