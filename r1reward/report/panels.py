"""Panels of a run report: metrics of verl and of ours, by name."""

from r1reward.report.plots import Panel

ACCURACY = "reward/acc/mean"
STEP = "timing_s/step"
# From the bottom of the bars up; verl's names (trainer/ppo/v1/trainer_base.py).
PHASES = {
    "generation": "timing_s/gen",
    "reward": "timing_s/reward",
    "old log-prob": "timing_s/old_log_prob",
    "reference": "timing_s/ref",
    "advantage": "timing_s/adv",
    "update": "timing_s/update_actor",
    "weight sync": "timing_s/update_weights",
    "checkpoint": "timing_s/save_checkpoint",
}
LEARNING = (
    Panel("Loss", {"training": "train/loss"}, note="Of fine-tuning, in nats a target token."),
    Panel(
        "Reward",
        {
            "all": "reward/final/mean",
            "result": ACCURACY,
            "format": "reward/format/mean",
            "consistency": "reward/consistency/mean",
        },
        note="Means of the training batch.",
    ),
    Panel(
        "Response length",
        {"mean": "response_length/mean"},
        "tokens",
        band=("response_length/min", "response_length/max"),
    ),
    Panel(
        "Consistent reasoning",
        {
            "when right": "consistency/consistent_right",
            "when wrong": "consistency/consistent_wrong",
        },
        "%",
        "Of the answers that the check gave its word on.",
    ),
    Panel("Chooses the first response", {"chooses the first": "reward/chose_first/mean"}, "%"),
)
STABILITY = (
    Panel(
        "KL",
        {
            "to the reference, in the reward": "actor/reward_kl_penalty",
            "to the reference, in the loss": "actor/kl_loss",
            "old to new policy": "actor/ppo_kl",
        },
    ),
    Panel("Entropy", {"entropy": "actor/entropy"}, note="Of the policy's next token."),
    Panel("Gradient norm", {"gradient norm": "actor/grad_norm", "fine-tuning": "train/grad_norm"}),
    Panel(
        "Filtered and clipped",
        {
            "advantages filtered": "advantage/filtered",
            "pre-clipped": "actor/preclip_frac",
            "PPO-clipped": "actor/pg_clipfrac",
        },
        "%",
    ),
)
CONSISTENCY = (
    Panel(
        "Latency",
        {"median": "consistency/latency_p50", "95th percentile": "consistency/latency_p95"},
        "s",
        "From the first request to the answer, or to giving up.",
    ),
    Panel(
        "Waited for",
        {"waited for": "consistency/exposed_s"},
        "s",
        "After the last response had arrived.",
    ),
    Panel(
        "Failures",
        {"failures": "consistency/failure_rate"},
        "%",
        "Agreements without the check's word.",
    ),
    Panel(
        "Requests",
        {
            "calls": "consistency/calls",
            "cache hits": "consistency/cache_hits",
            "retries": "consistency/retries",
        },
        note="Of each step.",
    ),
)


def metrics() -> set[str]:
    """Return every metric that a report reads."""
    panels = (*LEARNING, *STABILITY, *CONSISTENCY)
    drawn = {name for panel in panels for name in panel.metrics}
    return drawn | {ACCURACY, STEP, "consistency/checked", *PHASES.values()}
