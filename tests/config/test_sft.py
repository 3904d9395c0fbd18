"""A cold start's configuration and what is checked before training."""

import copy
import functools
import json
import subprocess
import sys

import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image
from support.conf import written

from r1reward.config.compose import REPO, compose_config, groups, verl_defaults
from r1reward.config.tree import flatten
from r1reward.core.errors import ConfigError
from r1reward.launch.preflight_sft import sft_preflight

GROUPS = groups("sft")
DATA = [name for name in GROUPS["data"] if "reasoning" in name]
OURS = (
    *("run.", "resume", "sweep.", "gpus", "policy.", "cluster."),
    *("model.override_config", "engine.mixed_precision"),
)
REASONING = "<think>Response 2 says dog.</think><answer>2</answer>"


def composed(*overrides):
    config = compose_config(overrides, config_name="sft")
    config.run.dir, config.run.name = "run", "name"
    OmegaConf.resolve(config)
    return config


@pytest.mark.parametrize(
    "choice",
    [f"{group}={name}" for group in ("model", "cluster", "optim") for name in GROUPS[group]]
    + [f"data={name}" for name in DATA],
)
def test_every_choice_composes_of_keys_that_are_known(choice) -> None:
    ours = {f"data.{key}" for key in (*written("data/reasoning.yaml"), "dropped")}
    ours |= {f"data.custom_cls.{key}" for key in ("path", "name")}
    known = set(flatten(verl_defaults("sft_trainer_engine"))) | ours
    for key in flatten(compose_config([choice], config_name="sft")):
        assert key in known or key.startswith(OURS), f"{key} is in neither verl's tree nor ours"


@pytest.mark.parametrize("cluster", GROUPS["cluster"])
def test_a_cold_start_is_the_same_on_every_machine(cluster) -> None:
    config = compose_config([f"cluster={cluster}"], config_name="sft")
    assert (config.data.train_batch_size, config.data.epochs) == (32, 1)


def test_words_are_those_of_training() -> None:
    shared = {"experiment", "model", "data", "cluster", "logging", "sweep", "hydra/launcher"}
    assert shared <= set(GROUPS)
    assert {name: GROUPS[name] for name in shared} == {name: groups()[name] for name in shared}


@pytest.mark.parametrize(("primary", "data"), [("sft", "photos"), ("train", "photos_reasoning")])
def test_data_of_another_command_is_refused(primary, data) -> None:
    with pytest.raises((HydraException, OmegaConfBaseException)):
        OmegaConf.resolve(compose_config([f"data={data}"], config_name=primary))


def test_paper_settings() -> None:
    config = composed("model=qwen2_5_vl_7b", "cluster=gpu8", "data=reasoning")
    assert config.model.path == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert config.optim.lr == 1e-5
    assert (config.data.train_batch_size, config.trainer.total_epochs) == (256, 1)
    assert config.trainer.total_training_steps is None


@pytest.mark.parametrize("model", GROUPS["model"])
def test_a_model_is_that_of_reinforcement(model) -> None:
    config = composed(f"model={model}")
    rl = compose_config([f"model={model}"])
    assert config.model.path == rl.actor_rollout_ref.model.path
    assert (config.data.min_pixels, config.data.max_pixels) == (
        rl.data.min_pixels,
        rl.data.max_pixels,
    )


@pytest.mark.parametrize(
    ("override", "word"), [("data.max_lenght=3", "max_lenght"), ("model=nonsense", "nonsense")]
)
def test_an_unknown_option_or_key_is_named(override, word) -> None:
    with pytest.raises(HydraException, match=word):
        composed(override)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("experiment=nonsense", "Could not find 'experiment/nonsense'"),
        ("resume=auto", "resume=auto: no unfinished run with a checkpoint below"),
        ("data.train_files=nothing.jsonl", "error data.train_files=nothing.jsonl: no such file"),
    ],
)
def test_what_cannot_run_is_one_message(tmp_path, override, says) -> None:
    command = [sys.executable, "-m", "r1reward.sft", "cluster=cpu", f"run.root={tmp_path}"]
    done = subprocess.run([*command, override], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count(says) == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


# --- preflight


def row(number, image="photo.png", reasoning=REASONING, **fields):
    return {
        "question": f"Question {number}?",
        "responses": ["A cat.", "A dog."],
        "label": 2,
        "media": [{"kind": "image", "uri": image}],
        "source": "test",
        "reasoning": reasoning,
    } | fields


BAD = (
    (row(7, reasoning=None), "no reasoning to learn from"),
    (row(7, image="gone.png"), "no such image"),
    (row(7, question="why? " * 900), "tokens with its reasoning, more than data.max_length=448"),
    (row(7, label=3), "label=3"),
    (row(7, reasoning=f"{REASONING}<|im_end|>"), "control tokens"),
)


@functools.cache
def base():
    overrides = ["cluster=cpu", "data=reasoning", "data.max_length=448"]
    return compose_config([*overrides, "data.train_batch_size=2"], config_name="sft")


@pytest.fixture
def check(tmp_path):
    """Run preflight on training ``rows``, with overrides; return what is dropped."""
    Image.new("RGB", (56, 56)).save(tmp_path / "photo.png")

    def write(name, rows):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(item) + "\n" for item in rows))
        return str(path)

    def run(rows, *overrides):
        config = copy.deepcopy(base())
        config.run.dir, config.run.name = str(tmp_path / "run"), "name"
        config.data.train_files = write("train", rows)
        config.data.val_files = write("validation", [row(9)])
        config.merge_with_dotlist(list(overrides))
        OmegaConf.resolve(config)
        sft_preflight(config)
        lines = (tmp_path / "run" / "dropped.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    return run


def test_a_sound_configuration_passes(check) -> None:
    assert check(map(row, range(4))) == []


@pytest.mark.parametrize(("bad", "says"), BAD, ids=[says for _, says in BAD])
def test_a_row_that_cannot_be_learned_from_is_named(check, tmp_path, bad, says) -> None:
    with pytest.raises(ConfigError) as caught:
        check([row(0), bad, row(1)])
    assert f"{tmp_path}/train.jsonl:2: " in str(caught.value)
    assert says in str(caught.value)


def test_unusable_rows_are_dropped_and_listed_where_that_is_asked_for(check, tmp_path) -> None:
    rows = [row(0), *(bad for bad, _ in BAD), row(1)]
    found = check(rows, "data.drop_unusable=true")
    assert [entry["index"] for entry in found] == [1, 2, 3, 4, 5]
    assert {str(entry["files"]) for entry in found} == {str([f"{tmp_path}/train.jsonl"])}
    with pytest.raises(ConfigError, match=r"2 usable row\(s\), fewer than .*train_batch_size=3"):
        check(rows, "data.drop_unusable=true", "data.train_batch_size=3")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("data.train_batch_size=5", r"4 usable row\(s\), fewer than data.train_batch_size=5"),
        ("data.steps=3", "make 2 steps: raise data.epochs"),
        ("trainer.nnodes=2", "a cold start runs on one machine"),
        (
            "gpus=4",
            r"4 GPUs cannot share \S+=2 evenly: set data.train_batch_size=4",
        ),
        ("data.train_files=nothing.jsonl", "nothing.jsonl: no such file"),
        (f"model.path={REPO}/tests", "no config.json there"),
    ],
)
def test_what_would_fail_later_is_said_now(check, override, says) -> None:
    with pytest.raises(ConfigError, match=says):
        check(map(row, range(4)), override)


def test_without_validation_and_with_enough_epochs_it_passes(check) -> None:
    check(map(row, range(4)), "data.val_files=null")
    check(map(row, range(4)), "data.steps=3", "data.epochs=2")
