"""Batch sizes: what is suggested can be divided, and nothing nearer can."""

import re

from hypothesis import given
from hypothesis import strategies as st

from r1reward.config.batches import uneven_batch, uneven_batches, uneven_engines

SIZES = st.integers(1, 400)
GPUS = st.integers(1, 16)
NUMBERS = re.compile(r"\w=(\d+)")


def divides(batch: int, mini_batch: int, samples: int, gpus: int) -> bool:
    return batch % mini_batch == 0 and mini_batch * samples % gpus == 0


@given(SIZES, SIZES, st.integers(1, 8), GPUS)
def test_suggestions_can_be_divided_and_none_between_could(batch, mini, samples, gpus) -> None:
    said = uneven_batches(batch, mini, samples, gpus)
    assert (said is None) == divides(batch, mini, samples, gpus)
    if said is None:
        return
    numbers = list(map(int, NUMBERS.findall(said.partition(": set ")[2])))
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    assert pairs
    for whole, part in pairs:
        assert divides(whole, part, samples, gpus)
        assert abs(whole - batch) <= part  # the nearest multiple, or one where there is none below
        between = range(min(part, mini) + 1, max(part, mini))
        assert not any(size * samples % gpus == 0 for size in between)


@given(st.integers(0, 400), GPUS)
def test_a_cold_starts_batch(batch, gpus) -> None:
    said = uneven_batch(batch, gpus)
    assert (said is None) == (batch > 0 and batch % gpus == 0)
    for size in map(int, NUMBERS.findall((said or "").partition(": set ")[2])):
        assert size > 0
        assert size % gpus == 0
        assert abs(size - batch) <= gpus


def test_it_is_one_sentence() -> None:
    assert uneven_batches(64, 32, 1, 6) == (
        "6 GPUs cannot share actor_rollout_ref.actor.ppo_mini_batch_size=32 evenly: set "
        "data.train_batch_size=60 actor_rollout_ref.actor.ppo_mini_batch_size=30 or "
        "data.train_batch_size=72 actor_rollout_ref.actor.ppo_mini_batch_size=36"
    )
    assert uneven_batch(32, 3) == (
        "3 GPUs cannot share data.train_batch_size=32 evenly: set data.train_batch_size=30 or "
        "data.train_batch_size=33"
    )
    assert uneven_engines(6, 4) == (
        "6 GPUs cannot be divided into engines of "
        "actor_rollout_ref.rollout.tensor_model_parallel_size=4: set it to 1 or 2 or 3 or 6"
    )
    assert uneven_engines(6, 3) is None
    assert uneven_batches(64, 32, 4, 8) is None


def test_what_is_no_size() -> None:
    assert "set data.train_batch_size=1 " in uneven_batches(1, 0, 1, 1)
    assert "ppo_mini_batch_size=32" in uneven_batches(0, 32, 1, 1)
    assert uneven_batch(0, 4) == (
        "4 GPUs cannot share data.train_batch_size=0 evenly: set data.train_batch_size=4"
    )
    assert uneven_engines(2, 0)
