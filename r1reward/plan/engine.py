"""Model of a vLLM engine: memory, and seconds of a batch of answers."""

from dataclasses import dataclass

from omegaconf import DictConfig

from r1reward.plan.hardware import GIB, Gpu
from r1reward.plan.model import Model


@dataclass(frozen=True)
class Engine:
    """One engine.

    Attributes:
        gpus: of its tensor parallelism.
        share: of their memory that it takes (gpu_memory_utilization).
        sequences: most at once.
        eager: whether it runs without CUDA graphs.
        weight_bytes: of one weight.
    """

    gpus: int
    share: float
    sequences: int
    eager: bool
    weight_bytes: int = 2

    def parts(self, model: Model, gpu: Gpu, memory: DictConfig) -> dict[str, float]:
        """Return the bytes on each GPU by part; the cache is what the others leave of the share."""
        weights, other = self.weights(model), memory.engine * GIB
        cache = max(0.0, self.share * gpu.memory - weights - other)
        return {"engine weights": weights, "engine, other": other, "KV cache": cache}

    def weights(self, model: Model) -> float:
        """Return the bytes of the weights on each GPU."""
        return model.parameters * self.weight_bytes / self.gpus

    def cached_tokens(self, model: Model, gpu: Gpu, memory: DictConfig) -> int:
        """Return how many tokens the caches of its GPUs hold; key-value heads are shared out."""
        cache = self.parts(model, gpu, memory)["KV cache"]
        return int(cache * min(self.gpus, model.kv_heads) / model.kv_bytes)


@dataclass(frozen=True)
class Load:
    """What one engine is asked: prompts, answers to each (votes), and their tokens.

    ``prompt``, ``image`` (of the prompt) and ``response`` are means; ``longest`` is one answer.
    """

    prompts: float
    votes: int
    prompt: float
    image: float
    response: float
    longest: float


def generate(engine: Engine, load: Load, model: Model, gpu: Gpu, settings: DictConfig) -> float:
    """Return the seconds of one batch of answers.

    Prompts cost FLOPs. Every further step reads the weights, and the cache of the sequences at
    hand; as many are at hand as the cache holds. The longest answers go on alone. No step is faster
    than its process prepares it.
    """
    spent = settings.efficiency
    tokens = load.prompts * load.prompt
    flops = model.forward_flops(tokens, load.prompts * load.image, load.prompt)
    flops -= 2 * tokens * model.embedding  # the engine has logits of the last token only
    prefill = flops / (engine.gpus * gpu.flops * spent.prompt_flops)
    asked = load.prompts * load.votes
    held = engine.cached_tokens(model, gpu, settings.memory) / (load.prompt + load.response)
    at_once = max(1.0, min(asked, engine.sequences, held))
    bandwidth = engine.gpus * gpu.bandwidth * spent.answer_bandwidth
    overhead = spent.step_ms + (spent.eager_layer_ms * model.layers if engine.eager else 0)
    overhead += spent.tensor_parallel_step_ms if engine.gpus > 1 else 0
    alone = model.parameters * engine.weight_bytes / bandwidth + overhead / 1e3
    cache = (load.prompt + load.response / 2) * model.kv_bytes / bandwidth
    least = spent.least_step_ms / 1e3
    steps = asked * load.response / at_once * max(least, alone + at_once * cache)
    rest = (load.longest - load.response) * max(least, alone)
    return float(prefill + steps + rest)
