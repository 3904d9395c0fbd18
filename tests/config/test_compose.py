"""The configuration tree: composes without heavy imports, holds only known and explained keys."""

import itertools
import subprocess
import sys

import pytest
import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf

from r1reward.config.compose import (
    CONF,
    compose_config,
    detect_cluster,
    groups,
    resolve_cluster,
    run_dir,
    verl_defaults,
)
from r1reward.config.tree import differences, flatten
from r1reward.core.errors import ConfigError
from r1reward.store.rundir import RunDir

GROUPS = groups()
OURS = (
    *("run.", "resume", "model.", "consistency.", "sweep."),
    *("reward.function.", "algorithm.stable_reinforce."),
)
# Nodes that verl leaves open on purpose.
OPEN = (
    "actor_rollout_ref.model.override_config.",
    "actor_rollout_ref.rollout.engine_kwargs.",
    "actor_rollout_ref.rollout.enable_sleep_mode",
    "actor_rollout_ref.actor.policy_loss.",
    "actor_rollout_ref.actor.fsdp_config.mixed_precision.",
    "actor_rollout_ref.ref.fsdp_config.mixed_precision.",
    "ray_kwargs.ray_init.",
)


@pytest.mark.parametrize(
    ("experiment", "cluster"), itertools.product(GROUPS["experiment"], GROUPS["cluster"])
)
def test_every_experiment_composes_on_every_cluster(experiment: str, cluster: str) -> None:
    config = compose_config([f"experiment={experiment}", f"cluster={cluster}"])
    OmegaConf.resolve(config)
    assert config.trainer.v1.trainer_mode == "r1_sync"
    assert config.data.train_batch_size % config.actor_rollout_ref.actor.ppo_mini_batch_size == 0


@pytest.mark.parametrize(
    "override",
    [f"{group}={option}" for group, options in GROUPS.items() for option in options],
)
def test_every_option_composes(override: str) -> None:
    assert compose_config([override]).trainer.project_name == "r1-reward"


@pytest.mark.parametrize("experiment", GROUPS["experiment"])
def test_an_experiment_adds_no_key_and_repeats_no_default(experiment: str) -> None:
    bases = [
        flatten(compose_config(["experiment=stablereinforce", "cluster=cpu", f"model={model}"]))
        for model in GROUPS["model"]
    ]
    config = compose_config([f"experiment={experiment}", "cluster=cpu"])
    assert set(flatten(config)) == set(flatten(compose_config(["cluster=cpu"])))
    written = yaml.safe_load((CONF / "experiment" / f"{experiment}.yaml").read_text()) or {}
    written.pop("defaults", None)
    for key, value in flatten(written).items():
        defaults = [base.get(key, "not a key") for base in bases]
        assert key == "" or defaults != [value] * len(bases), f"{key} is the default already"


@pytest.mark.parametrize("cluster", GROUPS["cluster"])
def test_our_groups_set_only_keys_that_verl_or_we_declare(cluster: str) -> None:
    known = set(flatten(verl_defaults()))
    data = {f"data.{key}" for key in yaml.safe_load((CONF / "data/records.yaml").read_text())}
    for key in flatten(compose_config([f"cluster={cluster}"])):
        assert key in known | data or key.startswith((*OURS, *OPEN, "data.custom_cls")), (
            f"{key} is in neither verl's tree nor ours"
        )


def test_what_differs_from_verl_is_found() -> None:
    changed = differences(compose_config(["cluster=cpu"]), verl_defaults())
    assert changed["algorithm.adv_estimator"] == ("gae", "stable_reinforce")
    assert changed["actor_rollout_ref.rollout.tensor_model_parallel_size"] == (2, 1)
    assert "algorithm.gamma" not in changed  # ours says 1.0, and so does verl


def test_paper_settings() -> None:
    config = compose_config(
        ["experiment=stablereinforce", "cluster=gpu8", "model=qwen2_5_vl_7b", "data=r1_reward_rl"]
    )
    OmegaConf.resolve(config)
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


STAGE_KEYS = ("about", "run", "inputs", "output", "plan")


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_key_has_a_comment(path) -> None:
    lines = path.read_text().splitlines()
    bare = []
    # What the keys of a stage mean is explained once, in conf/recipe.yaml.
    explained = STAGE_KEYS if path.parent.name == "recipe" else ()
    for number, line in enumerate(lines):
        text = line.strip()
        if not text or text.startswith(("#", "-")) or text.rstrip(":") in ("defaults", "hydra"):
            continue
        above = lines[number - 1].strip()
        if text.endswith(":") or text.partition(":")[0] in explained:
            continue  # a parent: its children are explained
        if not above.startswith("#") and " #" not in line:
            bare.append(f"{path.name}:{number + 1}: {text}")
    assert not bare


def test_composing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from r1reward.config.compose import compose_config; import r1reward.train;"
        "compose_config(['cluster=cpu']);"
        "print([m for m in ('torch', 'verl', 'ray', 'vllm', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [(0, "cpu"), (1, "gpu1"), (2, "gpu2"), (7, "gpu2"), (8, "gpu8"), (16, "gpu8")],
)
def test_auto_takes_the_largest_profile_that_fits(gpus: int, expected: str) -> None:
    assert detect_cluster(gpus) == expected


def test_an_explicit_cluster_wins() -> None:
    assert resolve_cluster(["cluster=gpu8", "a=1"]) == ["cluster=gpu8", "a=1"]
    assert resolve_cluster(["cluster=auto", "a=1"])[0] == "a=1"


def test_resume_finds_the_newest_unfinished_run(tmp_path) -> None:
    def make(name: str, step: int, *, finished: bool) -> None:
        run = RunDir(tmp_path / "exp" / name)
        run.checkpoints.mkdir(parents=True)
        if step:
            (run.checkpoints / "latest_checkpointed_iteration.txt").write_text(str(step))
        if finished:
            run.event("finished")

    make("1", 5, finished=False)
    make("2", 7, finished=False)
    make("3", 9, finished=True)
    make("4", 0, finished=False)
    assert run_dir(str(tmp_path), "exp", "auto") == str(tmp_path / "exp" / "2")
    assert run_dir(str(tmp_path), "exp", str(tmp_path / "exp/1")) == str(tmp_path / "exp/1")
    with pytest.raises(ConfigError, match="no checkpoint"):
        run_dir(str(tmp_path), "exp", str(tmp_path / "exp/4"))
    with pytest.raises(ConfigError, match="no unfinished run"):
        run_dir(str(tmp_path), "other", "auto")
