"""Planned memory, by hand and against a run."""

import math
import re

import pytest
import yaml
from support.planning import ACTOR, ROLLOUT, SETTINGS, SEVEN, configured, plan, total

from r1reward.config.compose import REPO
from r1reward.plan import gpu, plan_training
from r1reward.plan.model import model_of


def test_states_of_7b_on_eight_gpus() -> None:
    update = plan().bytes["update"]
    shard = 8_292_166_656 / 8
    assert update["weights"] == 4 * shard  # single precision
    assert update["gradients"] == 4 * shard
    assert update["optimizer"] == 8 * shard
    # a layer or an embedding (152,064 x 3,584) twice and its gradient, bfloat16; reduced in single
    assert update["gathered layers"] == 152_064 * 3584 * (2 + 2 + 2 + 4)


def test_logits_of_a_full_micro_batch() -> None:
    planned = plan()
    logits = 16_384 * 1.2 * 152_064 * 1.2  # padding, and blocks lost by the allocator
    assert planned.bytes["old log-probs"]["logits, or a layer"] == pytest.approx(10 * logits)
    assert planned.bytes["update"]["logits, or a layer"] == pytest.approx(6 * logits)
    assert planned.bytes["reference"]["logits, or a layer"] == pytest.approx(4 * logits)
    packed = plan("actor_rollout_ref.model.use_remove_padding=true").bytes["update"]
    # a layer that is computed again is larger than logits in bfloat16, once and without padding
    layer = 1.5 * 16_384 * 2 * (8 * 3584 + 4 * 18_944) * 1.2
    assert packed["logits, or a layer"] == pytest.approx(max(layer, 2 * 16_384 * 152_064 * 1.2))


def test_the_engine_takes_its_share_of_the_gpu() -> None:
    engine = plan().bytes["generation"]
    share = 0.6 * 81_559 * 2**20
    parts = ("engine weights", "engine, other", "KV cache")
    assert sum(engine[part] for part in parts) == pytest.approx(share)
    assert engine["engine weights"] == 2 * 8_292_166_656
    halved = plan(f"{ROLLOUT}.tensor_model_parallel_size=2").bytes["generation"]
    assert halved["engine weights"] == 8_292_166_656
    assert halved["KV cache"] == engine["KV cache"] + 8_292_166_656


def test_more_gpus_leave_each_with_less() -> None:
    plans = [plan(f"trainer.n_gpus_per_node={n}") for n in (1, 2, 4, 8)] + [
        plan("trainer.nnodes=2")
    ]
    for phase in plans[0].bytes:
        sizes = [total(planned, phase) for planned in plans]
        assert sizes == sorted(sizes, reverse=True)
        assert len(set(sizes)) == len(sizes)
    seconds = [sum(planned.seconds.values()) for planned in plans]
    assert seconds == sorted(seconds, reverse=True)


@pytest.mark.parametrize(
    ("override", "less", "same"),
    [
        (f"{ACTOR}.ppo_max_token_len_per_gpu=12288", ["update"], ["generation", "old log-probs"]),
        (f"{ROLLOUT}.log_prob_max_token_len_per_gpu=12288", ["old log-probs"], ["update"]),
        (f"{ROLLOUT}.gpu_memory_utilization=0.5", ["generation"], ["update"]),
        (
            f"{ACTOR}.fsdp_config.optimizer_offload=true",
            ["generation", "old log-probs", "weight sync"],
            ["update", "optimizer step"],  # verl brings the states back for both
        ),
        (
            f"{ACTOR}.fsdp_config.param_offload=true",
            ["generation", "reference", "weight sync"],
            ["old log-probs", "update"],
        ),
        (
            f"{ACTOR}.fsdp_config.offload_policy=true",
            ["generation", "old log-probs", "update", "optimizer step"],
            [],
        ),
        ("actor_rollout_ref.model.use_fused_kernels=true", ["update", "old log-probs"], []),
        ("actor_rollout_ref.model.enable_activation_offload=true", ["update"], ["reference"]),
    ],
)  # fmt: skip
def test_what_saves_memory_saves_it_where_it_should(override, less, same) -> None:
    before, after = plan(), plan(override)
    for phase in less:
        assert total(after, phase) < total(before, phase), phase
    for phase in same:
        assert total(after, phase) == total(before, phase), phase


@pytest.mark.parametrize(
    "override",
    [
        "actor_rollout_ref.model.enable_gradient_checkpointing=false",
        f"{ACTOR}.fsdp_config.use_no_sync_for_gradient_accumulation=true",
        f"{ACTOR}.fsdp_config.reshard_after_forward=false",
        f"{ROLLOUT}.free_cache_engine=false",
    ],
)
def test_what_costs_memory_in_an_update_is_counted(override) -> None:
    assert total(plan(override), "update") > total(plan(), "update")


def test_unsharded_gradients_are_whole_on_every_gpu() -> None:
    after = plan(f"{ACTOR}.fsdp_config.use_no_sync_for_gradient_accumulation=true")
    more = total(after, "update") - total(plan(), "update")
    assert more == pytest.approx(4 * 8_292_166_656)


def test_without_kl_there_is_no_reference() -> None:
    planned = plan("algorithm.use_kl_in_reward=false")
    assert "reference" not in planned.bytes
    assert "reference" not in planned.seconds
    assert planned.host_bytes == 0
    assert plan().host_bytes > 2 * 8_292_166_656  # of the reference, on the one machine


@pytest.mark.parametrize(("number", "shards"), [(4, 1), (2, 1), (2, 8)])
def test_page_locked_memory_has_blocks_of_powers_of_two(number, shards) -> None:
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    published = yaml.safe_load((REPO / "r1reward/plan/models.yaml").read_text())[SEVEN]
    vision = dict(published["vision_config"])
    vision["out_hidden_size"] = published["text_config"]["hidden_size"]
    config = Qwen2_5_VLConfig(**{**published, "vision_config": vision})
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)
    sizes = [-(-weight.numel() // shards) * number for weight in model.parameters()]
    expected = sum(2 ** math.ceil(math.log2(size)) for size in sizes)
    assert model_of(SEVEN).pinned(number, shards) == pytest.approx(expected, rel=0.01)


def test_loading_takes_what_was_seen_on_an_h200() -> None:
    """7B dimensions on one, bf16 with an fp32 reference: killed at 91 GiB, locking the last."""
    one = configured(
        "actor_rollout_ref.actor.fsdp_config.model_dtype=bf16",
        "actor_rollout_ref.ref.fsdp_config.model_dtype=fp32",
        base=("cluster=gpu1", "model=qwen2_5_vl_7b", "data=r1_reward_rl"),
    )
    planned = plan_training(one, gpu("h200"), SETTINGS)
    [note] = [note for note in planned.notes if "while models are loaded" in note]
    assert int(re.search(r"(\d+) GiB while", note)[1]) == pytest.approx(91, rel=0.15)
