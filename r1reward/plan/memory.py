"""Bytes on the fullest GPU, by phase and by part."""

from collections.abc import Mapping

from omegaconf import DictConfig

from r1reward.plan.hardware import GIB, Gpu
from r1reward.plan.lengths import Lengths
from r1reward.plan.model import Model
from r1reward.plan.setup import Pass, Setup, Training

Bytes = Mapping[str, Mapping[str, float]]
REDUCED = 4  # bytes of a gradient until it is reduced: in single precision


def training(
    setup: Setup, model: Model, gpu: Gpu, lengths: Lengths, memory: DictConfig
) -> dict[str, dict[str, float]]:
    """Return ``{phase: {part: bytes}}`` of a reinforcement step, each at the phase's peak.

    A micro-batch is taken to be as full as its limit allows.
    """
    phases = {"generation": {**_resident(setup, model), **setup.engine.parts(model, gpu, memory)}}
    if setup.old:
        phases["old log-probs"] = _forward(setup, model, setup.old, lengths, memory)
    if setup.reference:
        phases["reference"] = _forward(setup, model, setup.reference, lengths, memory)
        phases["reference"] |= _resident(setup, model)  # the actor's weights are not in use
    phases |= supervised(setup, model, lengths, memory)
    phases["weight sync"] = _resident(setup, model) | {
        "engine weights": setup.engine.weights(model),
        "sync buffer": setup.sync_bucket + 2 * setup.weight_bytes * model.embedding,
    }
    for name, parts in phases.items():
        parts["process"] = memory.process * GIB
        if name != "generation":
            if setup.engine_sleeps:
                parts["engine, other"] = memory.asleep * GIB
            else:
                parts |= setup.engine.parts(model, gpu, memory)
    return phases


def supervised(
    setup: Training, model: Model, lengths: Lengths, memory: DictConfig
) -> dict[str, dict[str, float]]:
    """Return the two phases of an update: micro-batches, and the optimizer's step after them."""
    shard = model.parameters / setup.shards
    on_gpu = 0 if setup.on_host else 1
    states = {
        "weights": on_gpu * setup.weight_bytes * shard,
        "optimizer": on_gpu * setup.moment_bytes * shard,
        "gradients": on_gpu * setup.weight_bytes * shard,
    }
    if setup.unsharded_gradients:
        states["gradients"] += REDUCED * model.parameters
    tokens = padded_tokens(setup, setup.update, lengths)
    saved, layer = _activations(setup, model, tokens, lengths)
    lost = 1 + memory.fragmentation
    logits = tokens * model.vocabulary * setup.update.logit_bytes
    micro = {
        "gathered layers": _gathered(setup, model, backward=True),
        "activations": saved * lost,
        "logits, or a layer": max(logits, layer) * lost,  # logits go before layers come back
    }
    # torch's AdamW, one kernel over all tensors, has one more of them for a moment
    step = states | {"optimizer's copy": on_gpu * setup.weight_bytes * shard}
    phases = {"update": states | micro, "optimizer step": step}
    for parts in phases.values():
        parts["process"] = memory.process * GIB
    return phases


def host(setup: Setup, model: Model) -> float:
    """Return the bytes of host memory that training holds on each machine, data and Ray aside."""
    each: float = _reference(setup, model)
    if setup.on_host:  # weights and gradients
        each += 2 * model.pinned(setup.weight_bytes, setup.shards)
    elif setup.offload_weights:
        each += setup.weight_bytes * model.parameters / setup.shards
    if setup.on_host or setup.offload_optimizer:
        each += setup.moment_bytes * model.parameters / setup.shards
    return each * setup.gpus_per_node


def loading(setup: Setup, model: Model) -> float:
    """Return the most bytes of host memory on the first machine while models are loaded.

    verl loads the whole of a model in one process, the reference first; where the embedding is
    also the output layer, in every process (transformer_impl.py:266).
    """
    copies = setup.gpus_per_node if model.tied else 1
    largest = max(setup.weight_bytes, setup.reference_bytes if setup.reference else 0)
    waiting = _reference(setup, model) * setup.gpus_per_node
    return float(waiting + copies * largest * model.parameters)


def _reference(setup: Setup, model: Model) -> int:
    """Bytes of a process's shard of the reference, which waits in page-locked memory."""
    return model.pinned(setup.reference_bytes, setup.shards) if setup.reference else 0


def padded_tokens(setup: Training, part: Pass, lengths: Lengths) -> float:
    """Return the most tokens that a micro-batch computes, padding among them."""
    tokens = min(part.tokens, setup.sequences / setup.gpus * setup.longest)
    return tokens * lengths.padding


def _resident(setup: Training, model: Model) -> dict[str, float]:
    """What training leaves on the GPU between its phases."""
    shard = model.parameters / setup.shards
    weights = setup.offload_weights or setup.on_host
    optimizer = setup.offload_optimizer or setup.on_host
    return {
        "weights": 0 if weights else setup.weight_bytes * shard,
        "optimizer": 0 if optimizer else setup.moment_bytes * shard,
    }


def _forward(
    setup: Training, model: Model, part: Pass, lengths: Lengths, memory: DictConfig
) -> dict[str, float]:
    tokens = padded_tokens(setup, part, lengths)
    parts = _resident(setup, model)
    if not setup.on_host:
        parts["weights"] = setup.weight_bytes * model.parameters / setup.shards
    peak = max(model.vocabulary * part.logit_bytes, _layer_bytes(model))
    return parts | {
        "gathered layers": _gathered(setup, model, backward=False),
        "logits, or a layer": tokens * peak * (1 + memory.fragmentation),
    }


def _gathered(setup: Training, model: Model, *, backward: bool) -> float:
    """Whole layers: one in use and the next; backward, also a gradient before its reduction."""
    size = setup.compute_bytes
    held = 2 * model.largest_group if setup.reshard else model.parameters
    return held * size + (model.largest_group * (size + REDUCED) if backward else 0)


def _activations(
    setup: Training, model: Model, tokens: float, lengths: Lengths
) -> tuple[float, float]:
    """What is kept until backward, and what one text layer takes when backward comes to it."""
    patches = tokens * lengths.image_share * model.merge**2
    layer = tokens * _layer_bytes(model)
    if not setup.checkpointing:
        vision = model.depth * 2 * (8 * model.width + 4 * model.vision_mlp)
        return layer * model.layers + patches * vision, layer
    inputs = 2 * (tokens * model.layers * model.hidden + patches * model.depth * model.width)
    return 0 if setup.offload_activations else inputs, 1.5 * layer


def _layer_bytes(model: Model) -> float:
    """Bytes a token leaves inside one layer: some 8 vectors of its width, 4 of its MLP's."""
    return 2 * (8 * model.hidden + 4 * model.mlp)
