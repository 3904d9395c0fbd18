"""Starts a run faster: idle Ray workers import what its actors will need, ahead of time.

verl creates its actors one after the other, and each begins with 15 to 30 seconds of imports
while the other cores wait. Ray hands an idle worker with the same environment to the next actor,
so a task that only imports leaves behind a worker in which the actor starts at once.
"""

import fcntl
import os
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import ray

REWARD = ("verl.experimental.reward_loop.reward_loop",)
AGENT = ("verl.trainer.ppo.v1.agent_loop_tq",)
SERVER = ("verl.workers.rollout.vllm_rollout.vllm_async_server",)


def prewarm(modules: Sequence[str], count: int, env_vars: dict[str, str] | None = None) -> None:
    """Let ``count`` new workers import ``modules``, in the background.

    Args:
        modules: names of modules.
        count: workers.
        env_vars: the environment that the actor will ask for; a worker is only reused for it.
    """
    environment = {"runtime_env": {"env_vars": env_vars}} if env_vars else {}
    for _ in range(count):
        ray.remote(num_cpus=0, max_retries=0, **environment)(_import).remote(list(modules))


def _import(modules: list[str]) -> None:
    # As many at once as there are spare cores: the trainer's own imports are the critical path.
    slot = os.getpid() % max(1, (os.cpu_count() or 1) - 1)
    path = Path(tempfile.gettempdir()) / f"r1-prewarm-{slot}.lock"
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in modules:
            import_module(name)
    path.unlink(missing_ok=True)  # on a cluster that was there before, nobody else would


def server_environment() -> dict[str, str]:
    """Return what verl asks for its vLLM servers (vllm_async_server.py:1372-1375)."""
    from verl.plugin.platform import get_platform

    platform: Any = get_platform()
    return {**dict.fromkeys(platform.ray_noset_envvars(), "1"), **platform.rollout_env_vars()}
