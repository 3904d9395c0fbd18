"""Planning of a run: memory of each GPU, and time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from omegaconf import DictConfig

from r1reward.config.batches import uneven_batches
from r1reward.core.errors import ConfigError
from r1reward.plan import memory, timing
from r1reward.plan.engine import Engine, Load, generate
from r1reward.plan.hardware import GIB, Gpu
from r1reward.plan.lengths import lengths_of
from r1reward.plan.model import Model, model_of
from r1reward.plan.settings import load_settings
from r1reward.plan.setup import Setup, Training, setup_of, sft_setup_of


@dataclass(frozen=True)
class Plan:
    """What is expected of a run.

    Attributes:
        gpu: on which.
        gpus: how many of them.
        bytes: of the fullest GPU, by phase and part.
        seconds: of one step by phase; of an evaluation, of all of it.
        steps: of the run.
        run_seconds: of the whole run by activity, start-up among them.
        host_bytes: of each machine's memory, for what is offloaded.
        uncertainty: of memory and of time, as shares.
        blockers: why it will not start, memory aside, with what to change.
        notes: what else a reader should know.
    """

    gpu: Gpu
    gpus: int
    bytes: memory.Bytes
    seconds: dict[str, float]
    steps: int
    run_seconds: dict[str, float]
    uncertainty: tuple[float, float]
    host_bytes: float = 0.0
    blockers: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def peak(self) -> tuple[str, float]:
        """The phase that needs most, and its bytes."""
        totals = {name: sum(parts.values()) for name, parts in self.bytes.items()}
        return max(totals.items(), key=lambda item: item[1])

    @property
    def verdict(self) -> str:
        """Whether it ``fits``, is ``tight`` (within the uncertainty) or ``does not fit``."""
        if self.blockers or self.peak[1] > self.gpu.memory:
            return "does not fit"
        unsure = [
            sum(parts.values()) + self.uncertainty[0] * _estimated(parts)
            for parts in self.bytes.values()
        ]
        return "tight" if max(unsure) > self.gpu.memory else "fits"

    @property
    def hours(self) -> float:
        """Hours of the whole run."""
        return sum(self.run_seconds.values()) / 3600


def plan_training(
    cfg: DictConfig,
    gpu: Gpu,
    settings: DictConfig | None = None,
    *,
    train_rows: int | None = None,
    val_rows: int | None = None,
) -> Plan:
    """Return the plan of a reinforcement run; pure, and without torch.

    Args:
        cfg: the training configuration, resolved.
        gpu: on which.
        settings: conf/plan.yaml; None: as it is.
        train_rows: training prompts; None: as settings say.
        val_rows: validation prompts; None: as settings say.

    Raises:
        ConfigError: for what cannot be planned.
    """
    settings = settings or load_settings()
    setup, model = setup_of(cfg), model_of(cfg.actor_rollout_ref.model.path)
    lengths = lengths_of(setup, model, settings.work)
    rows = settings.work.train_rows if train_rows is None else train_rows
    steps = _steps(setup, rows, setup.batch)
    validated = settings.work.val_rows if val_rows is None else val_rows
    seconds = timing.training(setup, model, gpu, lengths, settings)
    validation = timing.generation(setup, model, gpu, lengths, settings, validated)
    validations = _times(steps, setup.validate_every)
    run = {
        "start-up": float(settings.fixed.startup),
        "steps": steps * sum(seconds.values()),
        "validation": (validations + (1 if setup.validate_first else 0)) * validation,
        "checkpoints": _saving(setup, model, steps, settings),
    }
    return Plan(
        gpu, setup.gpus, memory.training(setup, model, gpu, lengths, settings.memory), seconds,
        steps, run, _uncertainty(settings), memory.host(setup, model),
        _blockers(setup, model, gpu, settings), _notes(setup, model, gpu, settings),
    )  # fmt: skip


def plan_sft(
    cfg: DictConfig, gpu: Gpu, settings: DictConfig | None = None, *, train_rows: int | None = None
) -> Plan:
    """Return the plan of a cold start; validation is not in it.

    Args:
        cfg: its configuration (conf/sft.yaml), resolved.
        gpu: on which.
        settings: conf/plan.yaml; None: as it is.
        train_rows: training records; None: as settings say.

    Raises:
        ConfigError: for what cannot be planned.
    """
    settings = settings or load_settings()
    setup, model = sft_setup_of(cfg), model_of(cfg.model.path)
    lengths = lengths_of(setup, model, settings.work)
    seconds = {"update": timing.update(setup, model, gpu, lengths, settings)}
    seconds["update"] += settings.fixed.phase
    rows = settings.work.sft_rows if train_rows is None else train_rows
    steps = _steps(setup, rows, setup.sequences)
    run = {
        "start-up": float(settings.fixed.startup),
        "steps": steps * seconds["update"],
        "checkpoints": _saving(setup, model, steps, settings),
    }
    phases = memory.supervised(setup, model, lengths, settings.memory)
    return Plan(gpu, setup.gpus, phases, seconds, steps, run, _uncertainty(settings))


def plan_evaluation(cfg: DictConfig, gpu: Gpu, settings: DictConfig | None = None) -> Plan:
    """Return the plan of an evaluation of the same model with judge=vllm.

    Raises:
        ConfigError: for what cannot be planned.
    """
    settings = settings or load_settings()
    setup, model = setup_of(cfg), model_of(cfg.actor_rollout_ref.model.path)
    lengths, asked = lengths_of(setup, model, settings.work), settings.evaluation
    engine = Engine(asked.gpus, asked.gpu_memory_utilization, asked.max_num_seqs, eager=False)
    load = Load(
        prompts=asked.pairs * asked.orders, votes=asked.votes, prompt=lengths.prompt,
        image=lengths.image, response=lengths.response, longest=lengths.longest,
    )  # fmt: skip
    seconds = {"generation": generate(engine, load, model, gpu, settings)}
    run = {"start-up": float(settings.fixed.engine), "judging": seconds["generation"]}
    parts = {"judging": engine.parts(model, gpu, settings.memory)}
    return Plan(gpu, asked.gpus, parts, seconds, 1, run, _uncertainty(settings))


def _steps(setup: Training, rows: int, batch: int) -> int:
    """Steps of a run: whole batches only, as the loaders make them."""
    if rows < batch:
        raise ConfigError(f"{rows} training rows are less than one batch of {batch}")
    steps = rows // batch * setup.epochs
    return min(steps, setup.steps) if setup.steps else steps


def _saving(setup: Training, model: Model, steps: int, settings: DictConfig) -> float:
    """Seconds of all checkpoints: weights and optimizer, to one disk."""
    size = (setup.weight_bytes + setup.moment_bytes) * model.parameters
    return float(_times(steps, setup.save_every) * size / (settings.efficiency.disk_gb_s * 1e9))


def _times(steps: int, every: int) -> int:
    """How often something happens that the last step always does."""
    return -(-steps // every) if every > 0 else 0


def _uncertainty(settings: DictConfig) -> tuple[float, float]:
    return float(settings.uncertainty.memory), float(settings.uncertainty.time)


def _estimated(parts: Mapping[str, float]) -> float:
    """Bytes that are not an engine's, which takes its share whatever is in it."""
    engine = ("engine weights", "engine, other", "KV cache") if "KV cache" in parts else ()
    return sum(size for name, size in parts.items() if name not in engine)


def _blockers(setup: Setup, model: Model, gpu: Gpu, settings: DictConfig) -> list[str]:
    found = []
    longest = setup.longest
    length = setup.length or model.context
    tokens = setup.engine.cached_tokens(model, gpu, settings.memory)
    if tokens < length:
        found.append(
            f"vLLM's cache must hold one sequence of {length:,} tokens, and holds {tokens:,}: "
            f"lower actor_rollout_ref.rollout.max_model_len (at least {longest}) or raise "
            "actor_rollout_ref.rollout.gpu_memory_utilization"
        )
    uneven = uneven_batches(setup.batch, setup.mini_batch, setup.samples, setup.gpus)
    if uneven:
        found.append(uneven)
    limits = [part.tokens for part in (setup.update, setup.old, setup.reference) if part]
    if min(limits) < longest:
        found.append(
            f"a micro-batch of {min(limits):,} tokens cannot take a sequence of {longest:,}: raise "
            "ppo_max_token_len_per_gpu and log_prob_max_token_len_per_gpu"
        )
    return found


def _notes(setup: Setup, model: Model, gpu: Gpu, settings: DictConfig) -> list[str]:
    longest = setup.longest
    tokens = setup.engine.cached_tokens(model, gpu, settings.memory)
    notes = [
        f"an engine's KV cache holds {tokens:,} tokens: {tokens // longest:,} sequences of "
        f"{longest:,}, the longest"
    ]
    waiting, loading = memory.host(setup, model), memory.loading(setup, model)
    notes.append(
        f"host memory of each machine, data and Ray aside: {waiting / GIB:.0f} GiB for what waits "
        f"there; of the first, {loading / GIB:.0f} GiB while models are loaded"
    )
    if setup.padded:
        notes.append(
            "without flash-attn (use_remove_padding=true) sequences are padded, and logits are "
            "copied to take the padding out"
        )
    if setup.check is not None:
        used = setup.check.engines * setup.check.engine.gpus
        notes.append(f"GPUs of the consistency check, beside these: {used}")
    return notes
