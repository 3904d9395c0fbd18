"""Advice where a plan does not fit, mild changes first."""

from collections.abc import Callable, Iterator

from omegaconf import DictConfig, OmegaConf

from r1reward.core.errors import ConfigError
from r1reward.plan.planning import Plan

_ACTOR = "actor_rollout_ref.actor"
_ROLLOUT = "actor_rollout_ref.rollout"
_LIMITS = (
    f"{_ACTOR}.ppo_max_token_len_per_gpu",
    "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu",
    f"{_ROLLOUT}.log_prob_max_token_len_per_gpu",
)
_MOST = 20  # changes
_LEAST_SHARE = 0.2  # of a GPU for the engine
_WORTH = 0.99  # a change that leaves more than this of the phase's bytes is none


def advise(cfg: DictConfig, plan: Callable[[DictConfig], Plan]) -> tuple[dict[str, object], Plan]:
    """Return the keys to set, and the plan with them.

    The fullest phase gets the mildest change that helps it, until all fit; then every change that
    a later one made needless is taken back.

    Args:
        cfg: the training configuration, resolved; it is not changed.
        plan: plans such a configuration.

    Returns:
        ``{}`` and the plan as it is where it fits; where no change helps, the changes that helped
        and a plan that still does not fit.
    """
    changes: dict[str, object] = {}
    best = plan(cfg)
    for _ in range(_MOST):
        if best.verdict == "fits":
            break
        for change in _changes(_with(cfg, changes)):
            new = _planned(cfg, changes | change, plan)
            if new and _helps(best, new):
                changes, best = changes | change, new
                break
        else:
            return changes, best
    for group in (set(_LIMITS), *({key} for key in changes if key not in _LIMITS)):
        fewer = {key: value for key, value in changes.items() if key not in group}
        new = _planned(cfg, fewer, plan)
        if len(fewer) < len(changes) and new and new.verdict == "fits":
            changes, best = fewer, new
    return changes, best


def _helps(old: Plan, new: Plan) -> bool:
    """Whether fewer things keep it from starting, or else its fullest phase takes less."""
    if len(new.blockers) != len(old.blockers):
        return len(new.blockers) < len(old.blockers)
    phase = old.peak[0]
    return sum(new.bytes[phase].values()) < _WORTH * sum(old.bytes[phase].values())


def _with(cfg: DictConfig, changes: dict[str, object]) -> DictConfig:
    changed = cfg.copy()
    for key, value in changes.items():
        OmegaConf.update(changed, key, value)
    return changed


def _planned(
    cfg: DictConfig, changes: dict[str, object], plan: Callable[[DictConfig], Plan]
) -> Plan | None:
    """Return the plan with changes; None where they do not go together."""
    try:
        return plan(_with(cfg, changes))
    except ConfigError:
        return None


def _changes(cfg: DictConfig) -> Iterator[dict[str, object]]:
    """Single changes of a configuration, from the mildest to the one that costs most time."""
    longest = int(cfg.data.max_prompt_length) + int(cfg.data.max_response_length)
    yield {f"{_ROLLOUT}.max_model_len": longest}
    tokens = int(OmegaConf.select(cfg, _LIMITS[0])) // 4 * 3 // 1024 * 1024
    if tokens >= longest:
        yield dict.fromkeys(_LIMITS, tokens)
    yield {f"{_ROLLOUT}.free_cache_engine": True, f"{_ROLLOUT}.enable_sleep_mode": True}
    share = round(float(cfg.actor_rollout_ref.rollout.gpu_memory_utilization) - 0.05, 2)
    if share >= _LEAST_SHARE:
        yield {f"{_ROLLOUT}.gpu_memory_utilization": share}
    yield {f"{_ACTOR}.fsdp_config.use_no_sync_for_gradient_accumulation": False}
    yield {"actor_rollout_ref.model.enable_gradient_checkpointing": True}
    yield {f"{_ACTOR}.fsdp_config.optimizer_offload": True}
    yield {f"{_ACTOR}.fsdp_config.param_offload": True}
    parallel = 2 * int(cfg.actor_rollout_ref.rollout.tensor_model_parallel_size)
    if parallel <= int(cfg.trainer.n_gpus_per_node):
        yield {f"{_ROLLOUT}.tensor_model_parallel_size": parallel}
    yield {f"{_ACTOR}.fsdp_config.offload_policy": True}
