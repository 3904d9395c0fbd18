"""Session around one run: environment, Ray, and clean-up."""

import contextlib
import os
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from r1reward.config.tree import plain
from r1reward.machine import janitor
from r1reward.run import tracking
from r1reward.store.rundir import RunDir

# What verl gives its Ray workers (verl/trainer/constants_ppo.py:85-102); listed here because
# importing that module costs the driver 20 seconds.
VERL_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "true",
    "NCCL_DEBUG": "WARN",
    "VLLM_LOGGING_LEVEL": "WARN",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "true",
    "VLLM_DISABLE_COMPILE_CACHE": "1",
    "HCCL_HOST_SOCKET_PORT_RANGE": "auto",
    "HCCL_NPU_SOCKET_PORT_RANGE": "auto",
    "HSA_NO_SCRATCH_RECLAIM": "1",
}
# What Ray refuses where the cluster is there already and has its own.
_OF_A_NEW_CLUSTER = ("num_cpus", "num_gpus", "object_store_memory", "include_dashboard")


def environment(
    cfg: DictConfig, run_dir: RunDir, token: str, model: str, job_type: str
) -> dict[str, str]:
    """Return the environment of every process of the run; nobody has to set it by hand.

    Args:
        cfg: the resolved configuration, of RL or of a cold start.
        run_dir: the run.
        token: marks the run's processes for the janitor.
        model: hub name or directory of what is trained.
        job_type: what trackers call the run: ``train`` or ``sft``.
    """
    defaults = dict(VERL_ENVIRONMENT)
    required = {janitor.TOKEN: token, "HYDRA_FULL_ERROR": "1"}
    if cfg.trainer.device == "cpu":
        defaults["OMP_NUM_THREADS"] = str(os.cpu_count() or 1)
        required["VERL_PLATFORM"] = "cpu"
    # As in verl, a default gives way to what the user's shell says.
    variables = {name: os.environ.get(name, value) for name, value in defaults.items()} | required
    if Path(model).is_dir():
        variables["HF_HUB_OFFLINE"] = "1"  # a local model needs no hub: never wait for one
    return variables | tracking.environment(cfg, run_dir, job_type)


@contextlib.contextmanager
def cleaned_up() -> Iterator[tuple[str, Path]]:
    """Yield a token and a private temporary directory for one run's processes.

    Afterwards, also after a kill, the janitor ends whatever carries the token in its environment
    and deletes the directory.
    """
    token = uuid.uuid4().hex[:12]
    scratch = Path(tempfile.mkdtemp(prefix="r1-"))
    watcher = janitor.start(token, scratch)
    try:
        yield token, scratch
    finally:
        assert watcher.stdin is not None
        watcher.stdin.close()
        with contextlib.suppress(Exception):
            watcher.wait(timeout=30)


@contextlib.contextmanager
def session(cfg: DictConfig, run_dir: RunDir) -> Iterator[None]:
    """Start Ray for one run and take everything down afterwards, also after a kill.

    ``ray_kwargs.ray_init.address`` joins a cluster that is already there.
    """
    import ray

    with cleaned_up() as (token, scratch):
        options = plain(cfg.ray_kwargs.ray_init)
        given = options.pop("runtime_env", None) or {}
        runtime_env = {key: value for key, value in given.items() if value is not None}
        variables = environment(cfg, run_dir, token, str(cfg.actor_rollout_ref.model.path), "train")
        variables["TRANSFER_QUEUE_ENABLE"] = "1"
        # Overrides such as `X=1` arrive as numbers; an environment holds text.
        asked = {key: str(value) for key, value in (given.get("env_vars") or {}).items()}
        runtime_env["env_vars"] = {**variables, **asked}
        if options.get("address") is None:
            # Daemons and workers inherit these; temporary files then lie where the janitor looks.
            runtime_env["env_vars"]["TMPDIR"] = str(scratch)
            options["_temp_dir"] = str(scratch / "ray")
        else:
            options = {key: value for key, value in options.items() if key not in _OF_A_NEW_CLUSTER}
        previous = dict(os.environ)
        os.environ.update(runtime_env["env_vars"])
        if cfg.trainer.device == "cpu":
            # Ray would not declare the stand-in for an accelerator where all real ones are hidden.
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        try:
            # Ray takes SIGTERM for itself, and has the process aborted three seconds later.
            terminated = signal.getsignal(signal.SIGTERM)
            ray.init(runtime_env=runtime_env, **{k: v for k, v in options.items() if v is not None})
            signal.signal(signal.SIGTERM, terminated)
            run_dir.event("ray")
            yield
        finally:
            ray.shutdown()
            os.environ.clear()
            os.environ.update(previous)
            os.environ.pop(janitor.TOKEN, None)
