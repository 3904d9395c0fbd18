"""Keys of the training configuration that a plan honours, all of them."""

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from r1reward.config.batches import uneven_engines
from r1reward.core.errors import ConfigError
from r1reward.plan.engine import Engine

_BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2}


@dataclass(frozen=True)
class Pass:
    """Forward passes over micro-batches.

    Attributes:
        tokens: most tokens of a micro-batch on one GPU.
        logit_bytes: most bytes held at once for each of its logits.
    """

    tokens: int
    logit_bytes: float


@dataclass(frozen=True)
class ServedCheck:
    """A check that verl hosts, on GPUs of its own: its model, an engine, how many engines."""

    path: str
    engine: Engine
    engines: int


@dataclass(frozen=True)
class Training:
    """What reinforcement and cold start share: shards, and updates over micro-batches.

    Bytes are of one number, lengths are tokens; ``sequences`` are those of an optimizer step.
    """

    gpus_per_node: int
    nodes: int
    shards: int
    weight_bytes: int
    compute_bytes: int
    offload_weights: bool
    offload_optimizer: bool
    on_host: bool
    reshard: bool
    unsharded_gradients: bool
    checkpointing: bool
    offload_activations: bool
    padded: bool
    update: Pass
    sequences: int
    prompt_limit: int
    response_limit: int
    longest: int
    max_pixels: int | None
    epochs: int
    steps: int | None
    save_every: int

    @property
    def gpus(self) -> int:
        """GPUs that train."""
        return self.gpus_per_node * self.nodes

    @property
    def moment_bytes(self) -> int:
        """Bytes of Adam's two moments of a parameter; they and its gradient are of its type."""
        return 2 * self.weight_bytes


@dataclass(frozen=True)
class Setup(Training):
    """Reinforcement as configured; ``samples`` are answers to a prompt."""

    batch: int
    mini_batch: int
    samples: int
    inner_epochs: int
    old: Pass | None
    reference: Pass | None
    reference_bytes: int
    engine: Engine
    check: ServedCheck | None
    engine_sleeps: bool
    sync_bucket: float
    length: int | None
    validate_every: int
    validate_first: bool


def setup_of(cfg: DictConfig) -> Setup:
    """Return what a plan reads of a training configuration.

    Raises:
        ConfigError: for what is not planned: no GPU, LoRA, Megatron.
    """
    part, trainer = cfg.actor_rollout_ref, cfg.trainer
    actor, rollout, model = part.actor, part.rollout, part.model
    shared = _shared(trainer, model, actor.fsdp_config, actor.strategy)
    gpus = shared["gpus_per_node"] * shared["nodes"]
    if uneven := uneven_engines(gpus, int(rollout.tensor_model_parallel_size)):
        raise ConfigError(uneven)
    update, old, reference = _passes(cfg, model.use_remove_padding, model.use_fused_kernels)
    return Setup(
        **shared,
        batch=int(cfg.data.train_batch_size),
        mini_batch=int(actor.ppo_mini_batch_size),
        samples=int(rollout.n),
        sequences=int(actor.ppo_mini_batch_size) * int(rollout.n),
        inner_epochs=int(actor.ppo_epochs),
        update=update,
        old=old,
        reference=reference,
        reference_bytes=_bytes(part.ref.fsdp_config.model_dtype or "bf16"),
        engine=_engine(rollout),
        check=_check(cfg.reward.reward_model),
        engine_sleeps=bool(rollout.free_cache_engine) and bool(rollout.enable_sleep_mode),
        sync_bucket=float(rollout.checkpoint_engine.update_weights_bucket_megabytes) * 2**20,
        length=rollout.max_model_len,
        prompt_limit=int(cfg.data.max_prompt_length),
        response_limit=int(cfg.data.max_response_length),
        longest=int(cfg.data.max_prompt_length) + int(cfg.data.max_response_length),
        max_pixels=cfg.data.get("max_pixels"),
        validate_every=int(trainer.test_freq),
        validate_first=bool(trainer.val_before_train),
    )


def sft_setup_of(cfg: DictConfig) -> Training:
    """Return what a plan reads of a cold start's configuration (conf/sft.yaml).

    Raises:
        ConfigError: for what is not planned: no GPU, LoRA, Megatron.
    """
    data, model, longest = cfg.data, cfg.model, int(cfg.data.max_length)
    shared = _shared(cfg.trainer, model, cfg.engine, cfg.engine.strategy)
    limit = int(data.max_token_len_per_gpu)
    if not data.use_dynamic_bsz:
        limit = int(data.micro_batch_size_per_gpu) * longest
    logits = _update_bytes(model.use_remove_padding, model.use_fused_kernels, entropy=False)
    return Training(
        **shared,
        update=Pass(limit, logits),
        sequences=int(data.train_batch_size),
        prompt_limit=longest,
        response_limit=longest // 2,
        longest=longest,
        max_pixels=data.get("max_pixels"),
    )


def _shared(
    trainer: DictConfig, model: DictConfig, fsdp: DictConfig, strategy: str
) -> dict[str, Any]:
    if trainer.get("device") == "cpu":
        raise ConfigError("only GPU clusters are planned; choose one, such as cluster=gpu8")
    if int(model.lora_rank):
        raise ConfigError("model.lora_rank: LoRA is not planned; set it to 0")
    if strategy not in ("fsdp", "fsdp2"):
        raise ConfigError(f"strategy={strategy}: fsdp and fsdp2 are planned")
    gpus = int(trainer.n_gpus_per_node) * int(trainer.nnodes)
    return {
        "gpus_per_node": int(trainer.n_gpus_per_node),
        "nodes": int(trainer.nnodes),
        "shards": int(fsdp.fsdp_size) if 0 < int(fsdp.fsdp_size) < gpus else gpus,
        "weight_bytes": _bytes(fsdp.model_dtype or "fp32"),
        "compute_bytes": _bytes((fsdp.get("mixed_precision") or {}).get("param_dtype", "bf16")),
        "offload_weights": bool(fsdp.param_offload),
        "offload_optimizer": bool(fsdp.optimizer_offload),
        "on_host": strategy == "fsdp2" and bool(fsdp.offload_policy),
        "reshard": bool(fsdp.reshard_after_forward),
        "unsharded_gradients": bool(fsdp.use_no_sync_for_gradient_accumulation),
        "checkpointing": bool(model.enable_gradient_checkpointing),
        "offload_activations": bool(model.enable_activation_offload),
        "padded": not model.use_remove_padding,
        "epochs": int(trainer.total_epochs),
        "steps": trainer.total_training_steps,
        "save_every": int(trainer.save_freq),
    }


def _passes(cfg: DictConfig, packed: bool, fused: bool) -> tuple[Pass, Pass | None, Pass | None]:
    """Update, old log-probs and reference; the last two may be left out."""
    part = cfg.actor_rollout_ref
    actor, rollout, ref = part.actor, part.rollout, part.ref
    longest = int(cfg.data.max_prompt_length) + int(cfg.data.max_response_length)
    longest //= int(actor.fsdp_config.ulysses_sequence_parallel_size)

    def tokens(dynamic: bool, limit: int, sequences: int | None, key: str) -> int:
        if dynamic:
            return int(limit)  # of one GPU, also with sequence parallelism
        if sequences is None:
            raise ConfigError(f"actor_rollout_ref.{key} is not set, and batches are not dynamic")
        return int(sequences) * longest

    def log_probs(given: DictConfig, name: str, logit_bytes: float) -> Pass:
        key = "log_prob_micro_batch_size_per_gpu"
        limit = given.log_prob_max_token_len_per_gpu
        dynamic = given.log_prob_use_dynamic_bsz
        return Pass(tokens(dynamic, limit, given[key], f"{name}.{key}"), logit_bytes)

    entropy = bool(actor.calculate_entropy) or float(actor.entropy_coeff) != 0
    key = "ppo_micro_batch_size_per_gpu"
    limit = actor.ppo_max_token_len_per_gpu
    update = Pass(
        tokens(actor.use_dynamic_bsz, limit, actor[key], f"actor.{key}"),
        _update_bytes(packed, fused, entropy),
    )
    chunked = bool(actor.fsdp_config.entropy_from_logits_with_chunking)
    old = log_probs(rollout, "rollout", _entropy_bytes(packed, fused, chunked))
    reference = log_probs(ref, "ref", 0 if fused else 2 if packed else 4)
    bypass = (cfg.algorithm.get("rollout_correction") or {}).get("bypass_mode", False)
    kl = cfg.algorithm.use_kl_in_reward or actor.use_kl_loss
    return update, None if bypass else old, reference if kl else None


def _engine(rollout: DictConfig) -> Engine:
    return Engine(
        gpus=int(rollout.tensor_model_parallel_size),
        share=float(rollout.gpu_memory_utilization),
        sequences=int(rollout.max_num_seqs),
        eager=bool(rollout.enforce_eager),
        weight_bytes=_bytes(rollout.dtype),
    )


def _check(served: DictConfig) -> ServedCheck | None:
    if not served.enable:
        return None
    rollout, gpus = served.rollout, int(served.n_gpus_per_node) * int(served.nnodes)
    engine = Engine(
        gpus=int(rollout.tensor_model_parallel_size),
        share=float(rollout.gpu_memory_utilization),
        sequences=int(rollout.max_num_seqs or 256),
        eager=bool(rollout.enforce_eager),
    )
    return ServedCheck(str(served.model_path), engine, max(1, gpus // engine.gpus))


def _bytes(dtype: str) -> int:
    if dtype not in _BYTES:
        raise ConfigError(f"number type {dtype}: choose from {', '.join(_BYTES)}")
    return _BYTES[dtype]


def _update_bytes(packed: bool, fused: bool, entropy: bool) -> float:
    """Logits, in verl's engine (workers/engine/fsdp), autocast to bfloat16.

    Padded: bfloat16 logits, their copy without padding, and its gradient. Packed: flash-attn's
    cross entropy works in place.
    """
    if fused:
        return 0
    return (2 if packed else 6) + (8 if entropy else 0)


def _entropy_bytes(packed: bool, fused: bool, chunked: bool) -> float:
    """Old log-probs come with entropy: softmax, and its product with the logits, are single."""
    if fused:
        return 0
    return 2 if packed and chunked else 10
