"""Plans of a run: GPU memory, time and advice, before a GPU is touched (`make plan`)."""

from r1reward.plan.hardware import Gpu, gpu, gpu_of, gpus
from r1reward.plan.planning import Plan, plan_evaluation, plan_sft, plan_training
from r1reward.plan.settings import load_settings

__all__ = [
    "Gpu",
    "Plan",
    "gpu",
    "gpu_of",
    "gpus",
    "load_settings",
    "plan_evaluation",
    "plan_sft",
    "plan_training",
]
