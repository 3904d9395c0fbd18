"""Verdicts of a plan, and the changes that it advises."""

import pytest
from support.planning import ACTOR, GPU8, ROLLOUT, SETTINGS, composed, configured, plan, total

from r1reward.core.errors import ConfigError
from r1reward.plan import gpu, plan_training
from r1reward.plan.advice import advise
from r1reward.plan.hardware import GIB


def test_7b_does_not_fit_one_h200_beside_its_optimizer() -> None:
    planned = plan_training(composed("cluster=gpu1", *GPU8[1:]), gpu("h200"), SETTINGS)
    assert planned.verdict == "does not fit"
    # 16 bytes a parameter are 123.6 GiB, before activations, logits and the engine asleep
    assert total(planned, "update") > 123.5 * GIB


def test_3b_fits_one_h200() -> None:
    cfg = composed("cluster=gpu1", "model=qwen2_5_vl_3b", "data=r1_reward_rl")
    assert plan_training(cfg, gpu("h200"), SETTINGS).verdict == "fits"


def test_two_h200_train_7b() -> None:
    cfg = composed("cluster=gpu2", *GPU8[1:])
    actor = cfg.actor_rollout_ref.actor
    assert cfg.trainer.n_gpus_per_node == 2
    assert actor.strategy == "fsdp2"
    assert cfg.data.train_batch_size % actor.ppo_mini_batch_size == 0
    assert actor.ppo_mini_batch_size % cfg.trainer.n_gpus_per_node == 0
    assert plan_training(cfg, gpu("h200"), SETTINGS).verdict == "fits"


@pytest.mark.parametrize(
    ("cluster", "hardware"), [("gpu1", "h200"), ("gpu8", "h100"), ("gpu8", "l40s")]
)
def test_advice_makes_it_fit_and_no_change_is_needless(cluster, hardware) -> None:
    base = (f"cluster={cluster}", *GPU8[1:])

    def planned(config):
        return plan_training(config, gpu(hardware), SETTINGS)

    def with_keys(changes):
        return planned(configured(*(f"{key}={value}" for key, value in changes.items()), base=base))

    changes, better = advise(composed(*base), planned)
    assert better.verdict == "fits"
    assert with_keys(changes).bytes == better.bytes
    limits = {key for key in changes if "token_len" in key}
    for group in (limits, *({key} for key in changes if key not in limits)):
        fewer = {key: value for key, value in changes.items() if key not in group}
        assert fewer == changes or with_keys(fewer).verdict != "fits", group


def test_what_fits_needs_no_advice() -> None:
    cfg = composed("cluster=gpu2", *GPU8[1:])
    assert advise(cfg, lambda config: plan_training(config, gpu("h200"), SETTINGS))[0] == {}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (f"{ACTOR}.ppo_max_token_len_per_gpu=8192", "cannot take a sequence of 9,216"),
        ("trainer.n_gpus_per_node=6", "6 GPUs cannot share"),
        (f"{ROLLOUT}.gpu_memory_utilization=0.22", "cache must hold one sequence of 9,216"),
    ],
)
def test_what_keeps_a_run_from_starting_is_said(override, said) -> None:
    planned = plan(override)
    assert planned.verdict == "does not fit"
    assert any(said in blocker for blocker in planned.blockers)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("actor_rollout_ref.model.lora_rank=8", "LoRA"),
        (f"{ACTOR}.strategy=megatron", "fsdp and fsdp2"),
        (f"{ROLLOUT}.tensor_model_parallel_size=3", "into engines of"),
        (f"{ACTOR}.use_dynamic_bsz=false", "ppo_micro_batch_size_per_gpu"),
        ("trainer.device=cpu", "only GPU clusters"),
    ],
)
def test_what_is_not_planned_is_refused(override, said) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(override)
