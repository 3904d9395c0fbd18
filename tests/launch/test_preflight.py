"""Preflight: a sound configuration passes; for every unsound one the message says what to do."""

import base64
import copy
import functools
import importlib.metadata
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest
from omegaconf import OmegaConf
from PIL import Image

from r1reward.config.compose import compose_config
from r1reward.core.errors import ConfigError
from r1reward.data.shard_rows import shard_row
from r1reward.launch.preflight import check_engine, preflight
from r1reward.store.shards import write_shard

GIB = 1 << 30


@functools.cache
def composed(cluster):
    return compose_config([f"cluster={cluster}", "data=records"])


def row(number, image="photo.png", **fields):
    return {
        "question": f"Question {number}?",
        "responses": ["A.", "B."],
        "label": 1,
        "media": [{"kind": "image", "uri": image}],
        "source": "test",
    } | fields


def write(path, *rows):
    path.write_text("".join(json.dumps(item) + "\n" for item in rows))
    return path


@pytest.fixture
def files(tmp_path):
    """A model directory, and a data folder with one photo, one training and one validation file."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").touch()
    data = tmp_path / "data"
    data.mkdir()
    Image.new("RGB", (8, 8)).save(data / "photo.png")
    write(data / "train.jsonl", *map(row, range(4)))
    write(data / "validation.jsonl", row(9))
    return tmp_path


@pytest.fixture
def check(files):
    """Run preflight on a GPU configuration of ``files``, with further overrides."""

    def run(*overrides, cluster="gpu1"):
        config = copy.deepcopy(composed(cluster))
        config.data.train_files = f"{files}/data/train.jsonl"
        config.data.val_files = f"{files}/data/validation.jsonl"
        config.actor_rollout_ref.model.path = f"{files}/model"
        config.merge_with_dotlist(list(overrides))
        preflight(config)

    return run


@pytest.fixture
def machine(monkeypatch):
    """Pretend a machine with so much free memory and so much free /dev/shm."""

    def pretend(memory, shm):
        found = SimpleNamespace(available=memory * GIB)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: found)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=shm * GIB))

    return pretend


def test_a_sound_configuration_passes(check):
    check()


def test_the_shipped_photos_pass(files):
    preflight(compose_config(["cluster=gpu1", f"actor_rollout_ref.model.path={files}/model"]))


def test_a_package_that_verl_cannot_see(check, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ())
    with pytest.raises(ConfigError, match=r"plug-in.*make setup"):
        check()


# --- model


@pytest.mark.parametrize("name", ["Qwen/Qwen2.5-VL-7B-Instruct", "qwen/nothing-like-it"])
def test_a_hub_name_is_left_to_the_hub(check, name):
    check(f"actor_rollout_ref.model.path={name}")


def test_verl_does_not_expand_a_tilde_and_refuses_a_last_slash(check, files, monkeypatch):
    monkeypatch.setenv("HOME", str(files))
    with pytest.raises(ConfigError, match=r"path=~/model: .*without ~"):
        check("actor_rollout_ref.model.path=~/model")
    with pytest.raises(ConfigError, match=r"/model/: .*last slash"):
        check(f"actor_rollout_ref.model.path={files}/model/")


def test_a_model_directory_that_is_not_one(check, files, monkeypatch):
    monkeypatch.chdir(files)
    for path in (f"{files}/missing", "./missing", "data"):
        with pytest.raises(ConfigError, match=rf"model\.path={path}: no config\.json there"):
            check(f"actor_rollout_ref.model.path={path}")
    (files / "model" / "model.safetensors").unlink()
    for path in (f"{files}/model", "./model", "model"):
        with pytest.raises(ConfigError, match=rf"model\.path={path}: no \.safetensors weights"):
            check(f"actor_rollout_ref.model.path={path}")


# --- data


@pytest.mark.parametrize("key", ["train_files", "val_files"])
def test_a_data_file_that_cannot_be_used_is_named_with_its_key(check, files, key):
    for name, says in {
        "missing.jsonl": "no such file",
        "empty.jsonl": "the file holds no rows",
        "blank.jsonl": "the file holds no rows",
        "rows.csv": r"records are read from \.jsonl and \.parquet",
        "text.parquet": "not a readable parquet file",
    }.items():
        if name != "missing.jsonl":
            (files / name).write_text({"blank.jsonl": "\n \n", "empty.jsonl": ""}.get(name, "a,b"))
        with pytest.raises(ConfigError, match=rf"data\.{key}.*{name}: .*{says}") as caught:
            check(f"data.{key}={files}/{name}")
        assert str(caught.value).count("\n") == 0
    for nothing in ("null", "[]"):
        with pytest.raises(ConfigError, match=rf"data\.{key} names no file"):
            check(f"data.{key}={nothing}")


def test_every_file_of_a_list_is_read(check, files):
    write(files / "data" / "more.jsonl", row(1), row(2, label=0))
    with pytest.raises(ConfigError, match=r"1 bad row\(s\):\n +\S+/more\.jsonl:2: label=0"):
        check(f"data.train_files=[{files}/data/train.jsonl,{files}/data/more.jsonl]")


@pytest.mark.parametrize("embedded", [False, True])
def test_a_folder_of_shards_is_read_with_its_media(check, files, embedded):
    folder, content = files / "set", (files / "data" / "photo.png").read_bytes()
    folder.mkdir()
    media = {"kind": "image", "uri": "photo.png", "bytes": content if embedded else None}
    rows = [row(n, media=[media]) for n in range(3)]
    write_shard(folder / "part-00000.parquet", rows)
    write_shard(folder / "part-00001.parquet", [row(3, media=[media])])
    key = f"data.train_files={folder}"
    if embedded:
        check(key)
    else:
        check(key, f"data.media_root={files}/data")
        with pytest.raises(ConfigError, match=r"set/photo\.png: no such image"):
            check(key)
        shutil.copy(files / "data" / "photo.png", folder)
        check(key)
    bad = [row(4, media=[media]), row(5, label=0), row(6, media=[media | {"bytes": content[:40]}])]
    write_shard(folder / "part-00001.parquet", bad)
    with pytest.raises(ConfigError, match=r"2 bad row\(s\)") as caught:
        check(key)
    _, first, second, _ = str(caught.value).splitlines()
    assert first.startswith(f"  {folder}/part-00001.parquet:2: label=0")
    assert second.startswith(f"  {folder}/part-00001.parquet:3: data:image")


def test_images_within_texts_are_decoded_and_belong_into_shards(check, files):
    within = row(1, responses=["No.", [{"kind": "image", "uri": "cut.png"}]])
    (files / "data" / "cut.png").write_bytes((files / "data" / "photo.png").read_bytes()[:40])
    write(files / "data" / "rows.jsonl", row(0), within)
    with pytest.raises(ConfigError, match=r"train_files: .*rows\.jsonl:2: images within a text"):
        check(f"data.train_files={files}/data/rows.jsonl")
    write_shard(files / "data" / "a.parquet", [shard_row("here:1", within)[1]])
    with pytest.raises(ConfigError, match=r"a\.parquet:1: .*cut\.png: (damaged|not an image)"):
        check(f"data.train_files={files}/data/a.parquet")
    shutil.copy(files / "data" / "photo.png", files / "data" / "cut.png")
    check(f"data.train_files={files}/data/a.parquet")


def test_a_folder_without_data_is_named(check, files):
    with pytest.raises(ConfigError, match=r"data\.train_files: .*model: no \.parquet and no"):
        check(f"data.train_files={files}/model")


def test_bad_rows_and_bad_images_are_listed_in_order(check, files):
    path = files / "data" / "train.jsonl"
    (files / "data" / "cut.png").write_bytes((files / "data" / "photo.png").read_bytes()[:40])
    rows = [row(1), row(2, "cut.png"), row(3, label=7), row(4), row(5, "../model/config.json")]
    write(path, *rows, row(6, "cut.png"))
    with pytest.raises(ConfigError) as caught:
        check()
    head, *lines, last = str(caught.value).splitlines()
    assert head == "data.train_files: 4 bad row(s):"
    assert [line.split(": ")[0] for line in lines] == [f"  {path}:{n}" for n in (2, 3, 5, 6)]
    assert "cut.png" in lines[0]
    assert "label=7" in lines[1]
    assert "outside the media folder" in lines[2]
    assert "r1reward validate" in last


def test_many_bad_rows_are_counted_and_ten_shown(check, files):
    write(files / "data" / "train.jsonl", *(row(n, label=0) for n in range(1000)))
    with pytest.raises(ConfigError) as caught:
        check()
    assert "1000 bad row(s)" in str(caught.value)
    assert "\n  and 990 more\n" in str(caught.value)
    assert str(caught.value).count("label=0") == 10


def test_images_are_below_the_media_root_or_beside_the_file(check, files):
    (files / "elsewhere").mkdir()
    shutil.move(files / "data" / "photo.png", files / "elsewhere" / "photo.png")
    check(f"data.media_root={files}/elsewhere")
    with pytest.raises(ConfigError, match=r"data/photo\.png: no such image"):
        check()


def test_images_inside_the_rows_are_decoded(check, files):
    content = (files / "data" / "photo.png").read_bytes()
    good = "data:image/png;base64," + base64.b64encode(content).decode()
    write(files / "data" / "train.jsonl", *(row(n, good) for n in range(600)))
    check()
    write(files / "data" / "train.jsonl", *(row(n, good) for n in range(600)), row(0, good[:60]))
    with pytest.raises(ConfigError, match=r"train\.jsonl:601: data:image/png;base64"):
        check()


# --- batches and memory


@pytest.mark.parametrize(("batch", "mini"), [(100, 32), (32, 64), (64, 0), (0, 32)])
def test_batches_that_do_not_divide(check, batch, mini):
    key = "actor_rollout_ref.actor.ppo_mini_batch_size"
    with pytest.raises(ConfigError, match=rf"train_batch_size={batch} .*{key}={mini}"):
        check(f"data.train_batch_size={batch}", f"{key}={mini}")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ("trainer.n_gpus_per_node=6",),
            r"6 GPUs cannot share .*: set \S+=252 \S+=126",
        ),
        (("gpus=6", "trainer.nnodes=2"), r"12 GPUs cannot share"),
        (("gpus=6", "actor_rollout_ref.rollout.tensor_model_parallel_size=4"), "into engines of"),
    ],
)
def test_gpus_that_cannot_share(check, overrides, says):
    with pytest.raises(ConfigError, match=says) as caught:
        check(*overrides, cluster="gpu8")
    assert str(caught.value).count("\n") == 0


def test_gpus_that_can_share(check):
    check("gpus=6", "data.train_batch_size=252", "data.mini_batch_size=126")
    check("gpus=6", "actor_rollout_ref.rollout.n=3")  # 384 answers an optimizer step


def test_batches_that_divide(check):
    check("data.train_batch_size=96", "actor_rollout_ref.actor.ppo_mini_batch_size=32")


@pytest.mark.parametrize(("backend", "gpus"), [("uni", 1), ("mp", 2), (None, 2)])
def test_engines_that_start(backend, gpus):
    check_engine("some.rollout", engine(backend, gpus))


def test_an_engine_over_two_gpus_is_no_single_process():
    with pytest.raises(ConfigError, match=r"some\.rollout.*=mp"):
        check_engine("some.rollout", engine("uni", 2))


@pytest.mark.parametrize("cluster", ["cpu", "gpu1", "gpu2", "gpu8"])
def test_engines_of_the_profiles_start(cluster):
    check_engine("rollout", composed(cluster).actor_rollout_ref.rollout)


def engine(backend, gpus):
    vllm = {"distributed_executor_backend": backend} if backend else {}
    rollout = {"tensor_model_parallel_size": gpus, "engine_kwargs": {"vllm": vllm}}
    return OmegaConf.create(rollout)


def test_memory_counts_on_the_cpu_only(check, machine):
    machine(memory=1, shm=0)
    check(cluster="gpu1")
    with pytest.raises(ConfigError, match=r"1\.0 GiB of memory are free; the CPU run needs 6"):
        check(cluster="cpu")


def test_shared_memory_for_the_object_store(check, machine):
    store = "ray_kwargs.ray_init.object_store_memory"
    machine(memory=64, shm=1)
    check(f"{store}={GIB // 2}", cluster="cpu")
    check(f"{store}=null", cluster="cpu")
    # 1 GiB and a quarter for weight sync, of which 1 is there
    with pytest.raises(ConfigError, match=rf"/dev/shm has 1\.00 GiB free.*needs? 1\.25.*{store}"):
        check(f"{store}={GIB}", cluster="cpu")


def test_nothing_heavy_is_imported(files):
    code = (
        "import sys; import r1reward.tools.validate;"
        "from r1reward.launch.preflight import preflight;"
        "from r1reward.config.compose import compose_config;"
        f"model = 'actor_rollout_ref.model.path={files}/model';"
        "preflight(compose_config(['cluster=gpu1', model]));"
        "heavy = ('torch', 'verl', 'vllm', 'ray', 'transformers', 'qwen_vl_utils');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "OPENAI_APIKEY", "hub_access_token"])
def test_a_secret_in_the_configuration_is_refused_unseen(name) -> None:
    key = f"ray_kwargs.ray_init.runtime_env.env_vars.{name}"
    with pytest.raises(ConfigError, match=name) as caught:
        preflight(compose_config(["cluster=cpu", f"+{key}=tell-nobody"]))
    assert "tell-nobody" not in str(caught.value)
