"""The benchmark of training: seconds between steps, hand-computed, and runs that fail."""

import pytest

from r1reward.config.compose import compose_config
from r1reward.core.errors import ConfigError
from r1reward.tools.bench.train import figures, table, train, trivial_reward


def run(*ends):
    return [(end, {"timing_s/gen": end / 10, "timing_s/adv": 1.0}) for end in ends]


def test_seconds_are_those_between_timed_steps() -> None:
    found = figures([run(5, 7, 8, 12), run(100, 101, 104, 106)], warm_up=2)
    assert found["seconds"] == [1, 4, 3, 2]  # what follows step 2 of each run
    assert found["median_s"] == 2.5
    assert found["phases_s"] == {"gen": pytest.approx(5.8), "adv": 1.0}  # of .8, 1.2, 10.4, 10.6


def test_differences_are_to_the_first() -> None:
    found = {"stock": figures([run(0, 2, 4, 6)], 1), "ours": figures([run(0, 2.1, 4.2, 6.3)], 1)}
    where = {"cpu": "x", "cores": 2, "gpus": [], "load": 0.0, "packages": {}}
    differences = list(table(found, where).columns[4].cells)
    assert differences == ["+0.0%", "+5.0%"]


def test_a_run_that_fails_says_where_to_read_why(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"0 of 2 steps: .*console\.txt"):
        train(["experiment=nonsense"], tmp_path / "run", 2)
    assert "nonsense" in (tmp_path / "run" / "console.txt").read_text()


def test_the_trivial_reward_differs_between_answers() -> None:
    assert {trivial_reward("", text, "1") for text in ("a", "e", "ee")} == {0.0, 1.0}


def test_the_contestants_are_stock_verl_and_the_default() -> None:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from r1reward.config.compose import CONF, register_resolvers

    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = OmegaConf.to_container(compose("bench_train"), resolve=True)
    stock, ours = (
        compose_config([*given["shared"]["run"], *given["contestants"][name]])
        for name in ("stock", "ours")
    )
    assert stock.trainer.v1.trainer_mode == "sync"
    assert stock.algorithm.adv_estimator == "reinforce_plus_plus"
    assert stock.actor_rollout_ref.actor.policy_loss.loss_mode == "vanilla"
    assert ours.algorithm.adv_estimator == "stable_reinforce"
    assert stock.actor_rollout_ref.rollout.ignore_eos is ours.actor_rollout_ref.rollout.ignore_eos
