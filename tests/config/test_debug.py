"""Debugging presets: one word composes a short run that preflight lets pass."""

import pytest
from support.conf import keys, resolved

from r1reward.config.compose import groups
from r1reward.launch.preflight import preflight

PRESETS = groups()["debug"]


@pytest.mark.parametrize("gpus", [3, 8])
def test_fast_fits_any_number_of_gpus(gpus: int) -> None:
    preflight(resolved("cluster=gpu", f"gpus={gpus}", "debug=fast"))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_passes_preflight(name: str) -> None:
    config = resolved("cluster=gpu1", f"debug={name}")
    preflight(config)
    assert config.run.root == "runs/debug"
    assert config.trainer.logger == ["console"]
    assert not config.run.export


def test_fast_is_two_steps_over_few_rows() -> None:
    found = keys("cluster=cpu", "debug=fast")
    assert found["trainer.total_training_steps"] == 2
    assert found["data.train_batch_size"] == 2 * found["data.mini_batch_size"] == 4
    assert found["data.train_max_samples"] >= 2 * found["data.train_batch_size"]


def test_one_batch_is_a_whole_one() -> None:
    default, found = keys("cluster=cpu"), keys("cluster=cpu", "debug=one_batch")
    changed = {key for key in found if found[key] != default[key]}
    assert found["trainer.total_training_steps"] == 1
    assert not changed & {key for key in found if "batch_size" in key or "length" in key}


def test_overfit_validates_what_it_trains_on() -> None:
    found = keys("cluster=cpu", "debug=overfit", "data.train_batch_size=32")
    assert found["data.val_files"] == found["data.train_files"]
    assert found["data.train_max_samples"] == found["data.val_max_samples"] == 32


def test_profile_traces_a_step_that_is_reached() -> None:
    found = keys("cluster=cpu", "debug=profile")
    assert max(found["global_profiler.steps"]) <= found["trainer.total_training_steps"]
    for part in ("actor", "rollout", "ref"):
        assert found[f"actor_rollout_ref.{part}.profiler.tool"] == "torch"
        assert found[f"actor_rollout_ref.{part}.profiler.save_path"] == "runs/here/profile"
    assert found["actor_rollout_ref.actor.profiler.enable"] is True
