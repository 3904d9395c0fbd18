"""A CPU platform for verl: its real trainer, workers and rollout on a machine without a GPU.

verl resolves the hardware through a registry of platforms (verl/plugin/platform). It ships none
for plain CPUs, so this one answers the same questions: memory figures are zero, streams and
synchronisation do nothing, collectives run on gloo, and Ray schedules a stand-in "GPU" resource
per worker (verl/single_controller/ray/base.py:146 asks for one; ``cluster=cpu`` declares it).
"""

import os
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry, set_platform
from verl.plugin.platform import platform_manager as _manager

_THREADS = str(os.cpu_count() or 1)


def _nothing(*_args: object, **_kwargs: object) -> None:
    """Accept any call and do nothing: the CPU has no streams, caches or profiler to drive."""


def _zero(*_args: object, **_kwargs: object) -> int:
    return 0


class _CpuDevice(types.ModuleType):
    """The part of the ``torch.cuda`` surface that verl's FSDP path calls, for a CPU."""

    def __init__(self) -> None:
        super().__init__("r1reward_cpu_device")
        for name in ("set_device", "synchronize", "empty_cache", "ipc_collect"):
            setattr(self, name, _nothing)
        for name in ("reset_peak_memory_stats", "set_per_process_memory_fraction"):
            setattr(self, name, _nothing)
        for name in ("memory_allocated", "memory_reserved"):
            setattr(self, name, _zero)
            setattr(self, f"max_{name}", _zero)
        self.is_available = lambda: True
        self.device_count = lambda: 1
        self.current_device = lambda: "cpu"
        self.get_device_name = lambda *_: "cpu"
        self.memory_summary = lambda *_, **__: ""
        # (free, total) bytes: verl only reports them, as the memory of the device.
        self.mem_get_info = lambda *_: (1 << 30, 1 << 30)
        self.get_rng_state = torch.get_rng_state
        self.set_rng_state = torch.set_rng_state
        self.manual_seed = self.manual_seed_all = torch.manual_seed

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)


@PlatformRegistry.register(platform="cpu")
class PlatformCPU(PlatformBase):  # type: ignore[misc]
    """Answers verl's hardware questions for a machine without an accelerator."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _CpuDevice()

    def is_available(self) -> bool:
        """Return True: a CPU is always there."""
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        """Return False: auto-detection must try every accelerator before it settles for a CPU."""
        return False

    def current_device(self) -> str:  # verl passes this on as a torch device
        """Return the torch device string."""
        return "cpu"

    def device_count(self) -> int:
        """Return one device per process."""
        return 1

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        """Return no compute capability."""
        return None, None

    def communication_backend_name(self) -> str:
        """Return gloo, torch's collectives for CPUs."""
        return "gloo"

    def visible_devices_envvar(self) -> str:
        """Return the variable that Ray's "GPU" resource sets."""
        return "CUDA_VISIBLE_DEVICES"

    def ray_resource_name(self) -> str:
        """Return the stand-in resource that ``cluster=cpu`` declares to Ray."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        """Return the flag that keeps Ray from rewriting the visible devices."""
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        """Return False: weights then travel to vLLM through POSIX shared memory."""
        return False

    def rollout_env_vars(self) -> dict[str, str]:
        """Return the environment of the vLLM server: its CPU settings, and no compiler."""
        return {
            # vLLM's CPU backend compiles kernels at warm-up even with enforce_eager; a tiny
            # model never earns those 30-60 s back.
            "TORCHDYNAMO_DISABLE": "1",
            # The engine's only worker then lives in the engine process ("uni", cluster=cpu): one
            # process less to start (vllm/platforms/cpu.py:144).
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": _THREADS,
        }

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        """Yield: there is no profiler range to open."""
        yield

    def manual_seed(self, seed: int) -> None:
        """Seed torch."""
        torch.manual_seed(seed)

    manual_seed_all = manual_seed
    set_device = synchronize = empty_cache = _nothing
    set_allocator_settings = profiler_start = profiler_stop = cudart = _nothing


def uses_cpu() -> bool:
    """Return whether verl runs on the CPU platform in this process."""
    return bool(_manager.get_platform().device_name == "cpu")


def _no_accelerator() -> bool:
    forced = os.environ.get("VERL_PLATFORM", "").strip().lower()
    if forced:
        return forced == "cpu"
    return not torch.cuda.is_available() and not any(
        PlatformRegistry.get(name)().is_platform_available(use_smi_check=True)
        for name in PlatformRegistry.registered_names()
    )


if _no_accelerator():
    # verl's own fallback is "nvidia" (platform_manager.py:117), whose first CUDA call then fails.
    set_platform(PlatformCPU())
