"""A key that nothing declares is refused in a file, as it is on the command line."""

from importlib.util import find_spec

import pytest

from r1reward.config.compose import compose_config
from r1reward.config.declared import check_declared
from r1reward.core.errors import ConfigError

VERL = find_spec("verl").submodule_search_locations[0]
CHOICES = {
    **{"experiment": "mine", "sweep": None, "debug": None, "algorithm": "stable_reinforce"},
    **{"consistency": "rule", "model": "tiny", "cluster": "cpu", "logging": "local"},
    **{"data": "photos", "reward": "r1_reward"},
}


@pytest.fixture
def check(tmp_path):
    """Check an experiment of this text, in a folder beside conf/."""
    (tmp_path / "experiment").mkdir()

    def run(text: str, *overrides: str, **choices: str) -> None:
        (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
        places = f"hydra.searchpath=[file://{VERL}/trainer/config,file://{tmp_path}]"
        chosen = CHOICES | choices
        given = [f"{group}={option}" for group, option in chosen.items() if option]
        config = compose_config([*given, *overrides, places])
        check_declared(config, "train", chosen, [*given, *overrides, places])

    return run


def test_declared_keys_may_be_set(check) -> None:
    check("algorithm: {stable_reinforce: {threshold: 2}}\ndata: {steps: 3}")
    check("trainer: {nnodes: 2}", debug="fast")
    check("actor_rollout_ref: {rollout: {engine_kwargs: {vllm: {max_logprobs: 5}}}}")
    check("{}", "+my.key=3", "++trainer.other=1")


def test_a_typing_error_is_named_with_the_key_that_was_meant(check) -> None:
    with pytest.raises(ConfigError) as caught:
        check("algorithm: {stable_reinforce: {treshold: 2}}")
    assert str(caught.value) == (
        "experiment=mine: algorithm.stable_reinforce.treshold is no key of conf/train.yaml; "
        "did you mean algorithm.stable_reinforce.threshold?"
    )


@pytest.mark.parametrize("text", ["my: {key: 1}", "reward: {function: {weight: 2}}"])
def test_a_key_of_nobody_is_refused(check, text) -> None:
    with pytest.raises(ConfigError, match=r"^experiment=mine, debug=fast: "):
        check(text, debug="fast")


def test_keys_of_another_algorithm_are_refused(check) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.stable_reinforce\.filter is no key"):
        check("algorithm: {stable_reinforce: {filter: none}}", algorithm="grpo")
