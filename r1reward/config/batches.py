"""Batch sizes that GPUs can share evenly."""

from math import gcd

_BATCH = "data.train_batch_size"
_MINI_BATCH = "actor_rollout_ref.actor.ppo_mini_batch_size"
_ENGINE = "actor_rollout_ref.rollout.tensor_model_parallel_size"


def uneven_batches(batch: int, mini_batch: int, samples: int, gpus: int) -> str | None:
    """Return why reinforcement cannot divide its batches, and the nearest ones that it can.

    Args:
        batch: prompts a step.
        mini_batch: prompts an optimizer step.
        samples: answers to a prompt.
        gpus: GPUs that share a mini-batch (data parallel).

    Returns:
        One sentence without its full stop, or None where everything can be divided.
    """
    unit = gpus // gcd(gpus, samples)
    if batch < 1 or mini_batch < 1 or batch % mini_batch:
        problem = f"{_BATCH}={batch} is not a multiple of {_MINI_BATCH}={mini_batch}"
    elif mini_batch % unit:
        problem = f"{gpus} GPUs cannot share {_MINI_BATCH}={mini_batch} evenly"
    else:
        return None
    sizes = [(_nearest(batch, size), size) for size in _multiples(mini_batch, unit)]
    pairs = [f"{_BATCH}={whole} {_MINI_BATCH}={part}" for whole, part in sizes]
    return f"{problem}: set {' or '.join(pairs)}"


def uneven_batch(batch: int, gpus: int) -> str | None:
    """Return why a cold start cannot divide its batch, and the nearest ones that it can; or None.

    Args:
        batch: records a step.
        gpus: training processes.
    """
    if batch > 0 and batch % gpus == 0:
        return None
    sizes = " or ".join(f"{_BATCH}={size}" for size in _multiples(batch, gpus))
    return f"{gpus} GPUs cannot share {_BATCH}={batch} evenly: set {sizes}"


def uneven_engines(gpus: int, engine: int) -> str | None:
    """Return why GPUs cannot be divided into engines of ``engine`` GPUs each; or None."""
    if engine > 0 and gpus % engine == 0:
        return None
    sizes = [size for size in range(1, gpus + 1) if gpus % size == 0]
    choices = " or ".join(map(str, sizes))
    return f"{gpus} GPUs cannot be divided into engines of {_ENGINE}={engine}: set it to {choices}"


def _multiples(number: int, unit: int) -> list[int]:
    """Return the positive multiples of ``unit`` just below and above; the number if it is one."""
    below = max(number, 0) // unit * unit
    found = [below] if below == number else [below, below + unit]
    return [size for size in found if size > 0] or [unit]


def _nearest(number: int, unit: int) -> int:
    return max(1, round(number / unit)) * unit
