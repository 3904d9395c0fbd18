"""Seconds of a training step by phase."""

import math

from omegaconf import DictConfig

from r1reward.plan.engine import Load, generate
from r1reward.plan.hardware import Gpu
from r1reward.plan.lengths import Lengths
from r1reward.plan.memory import REDUCED
from r1reward.plan.model import Model, model_of
from r1reward.plan.setup import Setup, Training


def training(
    setup: Setup, model: Model, gpu: Gpu, lengths: Lengths, settings: DictConfig
) -> dict[str, float]:
    """Return ``{phase: seconds}`` of a reinforcement step."""
    sequences = setup.batch * setup.samples
    phases = {"generation": generation(setup, model, gpu, lengths, settings, sequences)}
    checking = _judging(setup, gpu, lengths, settings, sequences)
    phases["consistency, after generation"] = max(0.0, checking - phases["generation"])
    if setup.old:
        phases["old log-probs"] = _forward(
            setup, model, gpu, lengths, settings, setup.old.tokens, host_bytes=0
        )
    if setup.reference:
        phases["reference"] = _forward(
            setup, model, gpu, lengths, settings, setup.reference.tokens,
            host_bytes=setup.reference_bytes,
        )  # fmt: skip
    updates = setup.batch // setup.mini_batch * setup.inner_epochs
    phases["update"] = updates * update(setup, model, gpu, lengths, settings)
    phases["update"] += settings.fixed.phase + _moved(setup, model, gpu, settings)
    phases["weight sync"] = settings.fixed.sync + (
        setup.weight_bytes * model.parameters / (settings.efficiency.sync_gb_s * 1e9)
    )
    if setup.shards > 1:
        phases["weight sync"] += settings.fixed.gather
    return phases


def generation(
    setup: Setup, model: Model, gpu: Gpu, lengths: Lengths, settings: DictConfig, sequences: int
) -> float:
    """Return the seconds in which all engines together write so many answers."""
    load = Load(
        prompts=sequences / (setup.gpus / setup.engine.gpus), votes=1, prompt=lengths.prompt,
        image=lengths.image, response=lengths.response, longest=lengths.longest,
    )  # fmt: skip
    return float(settings.fixed.generation + generate(setup.engine, load, model, gpu, settings))


def _judging(
    setup: Setup, gpu: Gpu, lengths: Lengths, settings: DictConfig, sequences: int
) -> float:
    """Seconds of a hosted check, which reads answers as they come; others cost the GPUs nothing."""
    if setup.check is None:
        return 0.0
    work = settings.work
    load = Load(
        prompts=sequences / setup.check.engines, votes=1, image=0,
        response=work.consistency_response,
        prompt=work.consistency_prompt + lengths.response, longest=work.consistency_response,
    )  # fmt: skip
    return generate(setup.check.engine, load, model_of(setup.check.path), gpu, settings)


def update(
    setup: Training, model: Model, gpu: Gpu, lengths: Lengths, settings: DictConfig
) -> float:
    """Return the seconds of one optimizer step over its sequences, on all GPUs.

    A backward pass is two forward passes, and a third one where activations are recomputed.
    """
    spent = settings.efficiency
    tokens = setup.sequences * lengths.sequence / setup.gpus
    passes = 4 if setup.checkpointing else 3
    batches = math.ceil(tokens / setup.update.tokens)
    gathers = batches * (2 if setup.reshard else 1) * setup.compute_bytes * model.parameters
    scatters = (1 if setup.unsharded_gradients else batches) * REDUCED * model.parameters
    seconds = max(
        passes * _computed(model, gpu, lengths, settings, tokens, batches),
        _linked(setup, gpu, settings, gathers + scatters),
    )
    if setup.on_host:
        seconds += model.parameters / setup.shards / spent.host_adam
    return float(seconds)


def _forward(
    setup: Setup, model: Model, gpu: Gpu, lengths: Lengths, settings: DictConfig, limit: int,
    host_bytes: int,
) -> float:  # fmt: skip
    spent = settings.efficiency
    tokens = setup.batch * setup.samples * lengths.sequence / setup.gpus
    batches = math.ceil(tokens / limit)
    gathers = batches * setup.compute_bytes * model.parameters
    shard = batches * host_bytes * model.parameters / setup.shards
    seconds = max(
        _computed(model, gpu, lengths, settings, tokens, batches),
        _linked(setup, gpu, settings, gathers),
        shard / (gpu.host * spent.link),
    )
    return float(seconds + settings.fixed.phase)


def _computed(
    model: Model, gpu: Gpu, lengths: Lengths, settings: DictConfig, tokens: float, batches: int
) -> float:
    """Seconds of one forward pass over all tokens, in so many micro-batches.

    Matrix products; between them what memory decides; and what a micro-batch of any size takes.
    """
    spent, images = settings.efficiency, tokens * lengths.image_share
    padded = tokens * lengths.padding
    products = model.forward_flops(padded, images, lengths.sequence)
    moved = spent.crossings * model.activation_bytes(padded, images)
    launches = batches * (model.layers + model.depth) * spent.layer_ms / 1e3
    return float(products / (gpu.flops * spent.product_flops) + moved / gpu.bandwidth + launches)


def _linked(setup: Training, gpu: Gpu, settings: DictConfig, size: float) -> float:
    """Seconds to pass ``size`` bytes round a ring of shards, which its slowest link decides."""
    others = (setup.shards - 1) / setup.shards
    inside = setup.shards <= setup.gpus_per_node
    link = gpu.link if inside else min(gpu.link, settings.network_gb_s * 1e9)
    return float(size * others / (link * settings.efficiency.link))


def _moved(setup: Training, model: Model, gpu: Gpu, settings: DictConfig) -> float:
    """Seconds in which offloaded weights and optimizer states come and go, in all phases."""
    each = 0
    if setup.offload_weights and not setup.on_host:
        each += 4 * setup.weight_bytes  # there and back, for log-probs and for the update
    if setup.offload_optimizer and not setup.on_host:
        each += 2 * setup.moment_bytes
    size = each * model.parameters / setup.shards
    return float(size / (gpu.host * settings.efficiency.link))
