"""The contract of a model: every option of conf/model."""

from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from support.contracts import options

from r1reward.config.compose import compose_config
from r1reward.core.errors import ConfigError
from r1reward.plan import gpu, load_settings, plan_sft, plan_training
from r1reward.plan.model import Model, model_of

NAMES = options("model")
DATA = {"train": "records", "sft": "reasoning"}


@cache
def composed(name, command, cluster="cpu"):
    given = [f"model={name}", f"cluster={cluster}", f"data={DATA[command]}"]
    config = compose_config(given, config_name=command)
    config.run.dir, config.run.name = "run", "name"
    OmegaConf.resolve(config)
    return config


def dimensions(path) -> Model | None:
    """The model's dimensions, if it is there."""
    try:
        return model_of(path)
    except ConfigError:
        return None


@pytest.mark.parametrize("name", NAMES)
def test_training_and_cold_start_take_the_same_model(name):
    rl, sft = composed(name, "train"), composed(name, "sft")
    assert rl.actor_rollout_ref.model.path == sft.model.path != ""
    limits = [(config.data.min_pixels, config.data.max_pixels) for config in (rl, sft)]
    assert limits[0] == limits[1]
    assert rl.actor_rollout_ref.actor.optim.lr > 0
    assert sft.optim.lr > 0


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_folder_or_a_hub_name(name):
    path = composed(name, "train").actor_rollout_ref.model.path
    assert Path(path, "config.json").is_file() or path.count("/") == 1


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_planned(name):
    rl, sft = (composed(name, command, "gpu8") for command in ("train", "sft"))
    path, settings = rl.actor_rollout_ref.model.path, load_settings()
    if dimensions(path) is None:
        assert not Path(path, "config.json").exists()
        pytest.skip(f"{path} has to be built or downloaded first")
    for plan in (plan_training(rl, gpu("h100"), settings), plan_sft(sft, gpu("h100"), settings)):
        assert plan.verdict in ("fits", "tight", "does not fit")
        assert 0 < plan.hours < float("inf")


@pytest.mark.parametrize("name", NAMES)
def test_limits_on_pixels_are_whole_image_tokens(name):
    """The processor rounds an image to patches, several of which are one token."""
    config = composed(name, "train")
    model = dimensions(config.actor_rollout_ref.model.path)
    token = 28**2 if model is None else (model.patch * model.merge) ** 2
    low, high = config.data.min_pixels, config.data.max_pixels
    assert 0 < low <= high
    assert low % token == high % token == 0
