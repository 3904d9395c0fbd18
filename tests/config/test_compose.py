"""The configuration tree: composes without heavy imports, holds only known keys."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
from hydra.errors import HydraException
from support.conf import EXPERIMENTS, keys, resolved, written

from r1reward.config.compose import compose_config, groups, verl_defaults
from r1reward.config.tree import differences, flatten

GROUPS = groups()
VERL = find_spec("verl").submodule_search_locations[0]
# Root nodes that are ours, and parts of verl's nodes.
OURS = (
    *("run.", "resume", "gpus", "hardware", "policy.", "consistency.", "sweep."),
    *("reward.function.", "data.custom_cls"),
)
# Nodes that verl leaves open on purpose.
OPEN = (
    "actor_rollout_ref.model.override_config.",
    "actor_rollout_ref.rollout.engine_kwargs.",
    "actor_rollout_ref.rollout.enable_sleep_mode",
    "actor_rollout_ref.actor.fsdp_config.mixed_precision",
    "actor_rollout_ref.ref.fsdp_config.mixed_precision",
    "ray_kwargs.ray_init.",
)


@pytest.mark.parametrize(
    ("experiment", "cluster"),
    [(name, "cpu") for name in EXPERIMENTS["train"]]
    + [("stablereinforce", cluster) for cluster in GROUPS["cluster"] if cluster != "cpu"],
)
def test_an_experiment_is_the_same_on_every_machine(experiment: str, cluster: str) -> None:
    config = resolved(f"experiment={experiment}", f"cluster={cluster}")
    assert config.trainer.v1.trainer_mode == "r1_sync"
    assert (config.data.train_batch_size, config.data.steps) == (64, 30)
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == 32


@pytest.mark.parametrize(
    "override",
    [
        f"{group}={option}"
        for group, options in GROUPS.items()
        for option in options
        if group not in ("experiment", "data")
    ]
    + [f"experiment={name}" for name in EXPERIMENTS["train"]]
    + [f"data={name}" for name in GROUPS["data"] if "reasoning" not in name],
)
def test_every_option_composes(override: str) -> None:
    assert compose_config([override]).trainer.project_name == "r1-reward"


def algorithm_of(experiment: str) -> str:
    """Return the algorithm that an experiment's file names."""
    entries = written(f"experiment/{experiment}.yaml")["defaults"]
    return {k: v for entry in entries for k, v in entry.items()}.get(
        "override /algorithm", "stable_reinforce"
    )


@pytest.mark.parametrize("experiment", EXPERIMENTS["train"])
def test_an_experiment_adds_no_key_and_repeats_no_default(experiment: str) -> None:
    algorithm = f"algorithm={algorithm_of(experiment)}"
    own = written(f"experiment/{experiment}.yaml")
    own.pop("defaults")
    bases = [
        keys("~experiment", algorithm, "cluster=cpu", f"model={model}") for model in GROUPS["model"]
    ]
    assert set(keys(f"experiment={experiment}", "cluster=cpu")) == set(bases[0])
    for key, value in flatten(own).items():
        defaults = [base.get(key, "not a key") for base in bases]
        assert key == "" or defaults != [value] * len(bases), f"{key} is the default already"


@pytest.mark.parametrize(
    ("primary", "experiment", "group"),
    [("train", name, "optim") for name in EXPERIMENTS["sft"]]
    + [("sft", name, "algorithm|consistency") for name in EXPERIMENTS["train"]],
)
def test_an_experiment_of_another_command_is_refused(primary, experiment, group) -> None:
    with pytest.raises(HydraException, match=f"Could not override '({group})'"):
        compose_config([f"experiment={experiment}", "cluster=cpu"], config_name=primary)


@pytest.mark.parametrize(
    ("algorithm", "cluster"),
    [(name, "cpu") for name in GROUPS["algorithm"]]
    + [("stable_reinforce", cluster) for cluster in GROUPS["cluster"] if cluster != "cpu"],
)
def test_our_groups_set_only_keys_that_verl_or_we_declare(algorithm: str, cluster: str) -> None:
    known = set(flatten(verl_defaults()))
    known |= {f"data.{key}" for key in written("data/records.yaml")}
    own = flatten(written(f"algorithm/{algorithm}.yaml"))
    chosen = ["~experiment", f"algorithm={algorithm}", f"cluster={cluster}"]
    for key in flatten(compose_config(chosen)):
        assert key in known or key in own or key.startswith((*OURS, *OPEN)), (
            f"{key} is in neither verl's tree nor ours"
        )


def test_an_algorithm_owns_its_keys_and_its_loss() -> None:
    stable, grpo = keys("experiment=stablereinforce"), keys("experiment=grpo")
    loss = "actor_rollout_ref.actor.policy_loss."
    assert set(stable) - set(grpo) == {
        *("algorithm.stable_reinforce.filter", "algorithm.stable_reinforce.threshold"),
        *(f"{loss}{key}" for key in ("preclip", "preclip_min", "preclip_max", "dual_clip")),
    }
    verls = flatten(verl_defaults())
    assert {k: v for k, v in grpo.items() if k.startswith(loss)} == {
        key: value for key, value in verls.items() if key.startswith(loss)
    }


def test_an_algorithm_of_your_own_is_one_file(tmp_path) -> None:
    (tmp_path / "algorithm").mkdir()
    (tmp_path / "algorithm" / "mine.yaml").write_text(
        "# @package _global_\nalgorithm: {adv_estimator: mine, mine: {width: 2.0}}\n"
    )
    chosen = ["algorithm=mine", "~experiment", "cluster=cpu", "algorithm.mine.width=3"]
    places = [f"{VERL}/trainer/config", str(tmp_path)]
    places = ",".join(f"file://{place}" for place in places)
    config = compose_config([*chosen, f"hydra.searchpath=[{places}]"])
    assert (config.algorithm.adv_estimator, config.algorithm.mine.width) == ("mine", 3)
    assert "stable_reinforce" not in config.algorithm


def test_what_differs_from_verl_is_found() -> None:
    changed = differences(compose_config(["cluster=cpu"]), verl_defaults())
    assert changed["algorithm.adv_estimator"] == ("gae", "stable_reinforce")
    assert changed["actor_rollout_ref.rollout.tensor_model_parallel_size"] == (2, 1)
    assert "algorithm.gamma" not in changed  # ours says 1.0, and so does verl


def test_paper_settings() -> None:
    config = resolved(
        "experiment=stablereinforce", "cluster=gpu8", "model=qwen2_5_vl_7b", "data=r1_reward_rl"
    )
    assert config.actor_rollout_ref.actor.optim.lr == 1e-6
    assert (config.data.train_batch_size, config.trainer.total_epochs) == (256, 5)
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == 128
    assert config.actor_rollout_ref.rollout.n == 1
    assert config.algorithm.kl_ctrl.kl_coef == 0.0
    loss = config.actor_rollout_ref.actor.policy_loss
    assert (loss.preclip, loss.preclip_min, loss.preclip_max) == (True, 1e-3, 1e3)
    assert config.algorithm.stable_reinforce == {"filter": "paper", "threshold": 3.0}


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("experiment=nonsense", "nonsense"),
        ("trainer.total_epoch=3", "total_epoch"),
        ("algorithm.stable_reinforce.treshold=2", "treshold"),
    ],
)
def test_an_unknown_option_or_key_is_named(override: str, word: str) -> None:
    with pytest.raises(HydraException, match=word):
        compose_config([override])


@pytest.mark.parametrize("primary", ["train", "sft"])
def test_composing_imports_nothing_heavy(primary: str) -> None:
    code = (
        f"import sys; from r1reward.config.compose import compose_config; import r1reward.{primary}"
        f"; compose_config(['cluster=cpu'], config_name='{primary}');"
        "print([m for m in ('torch', 'verl', 'ray', 'vllm', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
