"""GPUs by name, with the figures that a plan needs (hardware.yaml)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from omegaconf import DictConfig

from r1reward.core.errors import ConfigError
from r1reward.machine.gpus import ask

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """One GPU. ``memory`` is bytes, ``flops`` dense bfloat16 FLOP/s, the rest bytes/s.

    ``link`` and ``host`` are one direction to the other GPUs of its machine, and to host memory.
    """

    name: str
    memory: float
    flops: float
    bandwidth: float
    link: float
    host: float


@cache
def gpus() -> dict[str, Gpu]:
    """Return every known GPU by name."""
    table = yaml.safe_load((Path(__file__).parent / "hardware.yaml").read_text())
    return {
        name: Gpu(
            name,
            memory=row["memory_mib"] * 2**20,
            flops=row["bf16_tflops"] * 1e12,
            bandwidth=row["bandwidth_gb_s"] * 1e9,
            link=row["link_gb_s"] * 1e9,
            host=row["host_gb_s"] * 1e9,
        )
        for name, row in table.items()
    }


def gpu(name: str) -> Gpu:
    """Return the GPU of this name.

    Raises:
        ConfigError: naming those that are known.
    """
    if name not in gpus():
        raise ConfigError(f"hardware={name}: not known; choose from {', '.join(gpus())}")
    return gpus()[name]


def gpu_of(cfg: DictConfig) -> Gpu:
    """Return the GPU that a configuration of training or of a cold start is for.

    Raises:
        ConfigError: for a profile without GPUs, or a GPU that is not known or not said.
    """
    machine = cfg.get("cluster", cfg)  # where sft.yaml keeps it
    if machine.trainer.device == "cpu":
        raise ConfigError("only GPU clusters are planned; choose one, such as cluster=gpu8")
    name = machine.hardware or (hardware_here(names) if (names := ask("name")) else None)
    if name is None:
        raise ConfigError("no NVIDIA GPU here: say on which to plan, such as hardware=h100")
    return gpu(name)


def hardware_here(names: Sequence[str]) -> str:
    """Return what the plan calls the GPU of this machine.

    Raises:
        ConfigError: when there is none, or the plan does not know it.
    """
    if not names:
        raise ConfigError("no NVIDIA GPU here: a plan is about GPUs")
    known = [name for name in gpus() if f" {name} " in f" {names[0].lower()} "]
    if len(known) != 1:
        raise ConfigError(f"{names[0]}: say which it is, hardware={'|'.join(gpus())}")
    return known[0]
