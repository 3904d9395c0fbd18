"""Preflight checks of a run before Ray starts: files, model, memory."""

import asyncio
import importlib.metadata
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import psutil
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from r1reward.config.batches import uneven_batches, uneven_engines
from r1reward.config.secrets import check_secrets
from r1reward.consistency.health import ConsistencyGuard
from r1reward.consistency.hosted import HostedCheck
from r1reward.consistency.openai import OpenAICheck
from r1reward.core.errors import ConfigError
from r1reward.core.fields import PreferenceError
from r1reward.core.media import ImageError, check_media
from r1reward.core.pair import Media, Preference
from r1reward.core.preferences import refuse_parts_in_jsonl, scan_preferences
from r1reward.core.rows import RowError
from r1reward.machine.gpus import count_gpus
from r1reward.store.shards import media_folder

_GIB = 1 << 30
# Measured on the tiny model: nine processes that import torch, verl and vLLM.
_CPU_MEMORY_BYTES = 6 * _GIB
_SHOWN = 10
# Rows whose images are decoded together; they may carry them, so all of a file would not fit.
_ROWS = 256
_SHM = "/dev/shm"  # noqa: S108  (where POSIX shared memory is, by definition)


def preflight(cfg: DictConfig) -> None:
    """Raise :class:`ConfigError` with one clear message for everything a run would trip over.

    Args:
        cfg: the resolved configuration of a run.
    """
    check_plugin()
    check_secrets(cfg)
    check_model("actor_rollout_ref.model.path", str(cfg.actor_rollout_ref.model.path))
    check_engine("actor_rollout_ref.rollout", cfg.actor_rollout_ref.rollout)
    _check_reward(cfg)
    for key in ("train_files", "val_files"):
        _check_data(key, cfg.data[key], cfg.data.media_root)
    _check_division(cfg)
    if cfg.trainer.device == "cpu":
        _check_memory(int(cfg.ray_kwargs.ray_init.get("object_store_memory") or 0))


def check_plugin() -> None:
    """Refuse an environment in which verl cannot see the plug-in."""
    names = {point.name for point in importlib.metadata.entry_points(group="verl.plugins")}
    if "r1reward" not in names:
        raise ConfigError(
            "verl cannot see the r1reward plug-in: the package is not installed in this "
            "environment. Run `make setup` in a checkout, or `pip install r1reward`."
        )


def check_model(key: str, path: str) -> None:
    """Refuse a directory that holds no model; a hub name is left to the hub."""
    if path.endswith("/"):
        raise ConfigError(f"{key}={path}: verl refuses the last slash.")
    local = Path(path)  # as it stands: neither verl nor transformers expands ~
    if local.is_absolute() or path.startswith((".", "~")) or local.is_dir():
        if not (local / "config.json").is_file():
            raise ConfigError(
                f"{key}={path}: no config.json there. "
                "Give a Hugging Face directory (without ~) or a hub name."
            )
        if not any(local.glob("*.safetensors")):
            raise ConfigError(f"{key}={path}: no .safetensors weights there.")


def check_engine(key: str, rollout: DictConfig) -> None:
    """Refuse an engine over several GPUs whose only worker lives in the engine process."""
    backend = OmegaConf.select(rollout, "engine_kwargs.vllm.distributed_executor_backend")
    gpus = int(rollout.tensor_model_parallel_size)
    if backend == "uni" and gpus > 1:
        raise ConfigError(
            f"{key}.tensor_model_parallel_size={gpus} needs a process for each GPU: set "
            f"{key}.engine_kwargs.vllm.distributed_executor_backend=mp, or choose a cluster "
            "profile for several GPUs."
        )


def _check_reward(cfg: DictConfig) -> None:
    """Build what the reward processes will build, to hear now what is wrong with it."""
    try:
        ConsistencyGuard(**cfg.run.consistency_guard)
        instantiate(cfg.reward.function)
        check = instantiate(cfg.consistency)
    except (InstantiationException, ValueError) as error:
        raise ConfigError(str(error.__cause__ or error)) from None
    server = cfg.reward.reward_model
    wanted = isinstance(check, HostedCheck)
    if wanted != bool(server.enable):
        raise ConfigError(
            f"reward.reward_model.enable={server.enable} does not fit the check: verl serves "
            "consistency=hosted and no other. Choose the check, and leave that key alone."
        )
    if wanted:
        check_model("consistency.model", str(cfg.consistency.model))
        check_engine("reward.reward_model.rollout", server.rollout)
        _check_consistency_server(cfg, server)
    elif isinstance(check, OpenAICheck) and (problem := asyncio.run(_problem(check))):
        raise ConfigError(
            f"the consistency check cannot be asked:\n{problem}\nStart it (`vllm serve MODEL`), "
            "correct the settings, or choose consistency=rule."
        )


async def _problem(check: OpenAICheck) -> str:
    try:
        return await check.problem()
    finally:
        await check.close()


def _check_consistency_server(cfg: DictConfig, server: DictConfig) -> None:
    for key, needed in (("enable_resource_pool", True), ("rollout.free_cache_engine", False)):
        if OmegaConf.select(server, key) != needed:
            raise ConfigError(
                f"reward.reward_model.{key} must be {str(needed).lower()}: consistency=hosted "
                "answers while responses are still generated, on GPUs of its own, and never sleeps."
            )
    ray = cfg.ray_kwargs.ray_init
    if ray.get("address") is None:
        there = count_gpus() if ray.num_gpus is None else int(ray.num_gpus)
        training = int(cfg.trainer.n_gpus_per_node * cfg.trainer.nnodes)
        checking = int(server.n_gpus_per_node * server.nnodes)
        if training + checking > there:
            raise ConfigError(
                f"training takes {training} GPUs (trainer.n_gpus_per_node) and the check "
                f"{checking} (reward.reward_model.n_gpus_per_node); there are {there}. Lower "
                "one of them, or choose consistency=openai with a server elsewhere."
            )


def _check_data(key: str, files: str | Sequence[str] | None, media_root: str | None) -> None:
    errors: list[str] = []
    for path in data_files(key, files):
        try:
            refuse_parts_in_jsonl(path)
            rows = list(_scan(path, media_folder(path, media_root)))
        except (PreferenceError, RowError) as error:
            raise ConfigError(f"data.{key}: {error}") from None
        errors += filter(None, rows)
        if not rows:
            raise ConfigError(f"data.{key}={path}: the file holds no rows.")
    if errors:
        listed = show_rows(key, errors)
        raise ConfigError(f"{listed}\nRun `r1reward validate files=[...]` for the whole list.")


def data_files(key: str, files: str | Sequence[str] | None) -> list[Path]:
    """Return the files and folders that ``data.<key>`` names, all of which are there."""
    names = [files] if isinstance(files, str) else list(files or ())
    if not names:
        raise ConfigError(f"data.{key} names no file. Choose a `data=` or give a path.")
    paths = [Path(name).expanduser() for name in names]
    for path in paths:
        if not path.exists():
            raise ConfigError(
                f"data.{key}={path}: no such file. Choose another `data=` or download the set."
            )
    return paths


def show_rows(key: str, errors: Sequence[str]) -> str:
    """Return what is wrong with the first rows, and how many more there are."""
    shown = "\n  ".join(errors[:_SHOWN])
    more = f"\n  and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
    return f"data.{key}: {len(errors)} bad row(s):\n  {shown}{more}"


def _scan(path: Path, root: Path) -> Iterator[str | None]:
    """Yield each row's error, or None; images are decoded in parallel, good files once."""
    scanned, good = scan_preferences(path), set[Media]()
    with ThreadPoolExecutor() as pool:
        while rows := list(islice(scanned, _ROWS)):
            yield from pool.map(partial(_row_error, root=root, good=good), rows)


def _row_error(
    row: tuple[str, Preference | PreferenceError], root: Path, good: set[Media]
) -> str | None:
    where, preference = row
    if isinstance(preference, PreferenceError):
        return str(preference)
    for item in preference.all_media():
        if item in good:
            continue
        try:
            check_media([item], root)
        except ImageError as error:
            return f"{where}: {error}"
        if not item.uri.startswith("data:"):  # too long to keep
            good.add(item)
    return None


def _check_division(cfg: DictConfig) -> None:
    """Refuse batches and engines that the GPUs cannot share; verl would fail after minutes."""
    part, gpus = cfg.actor_rollout_ref, int(cfg.trainer.n_gpus_per_node * cfg.trainer.nnodes)
    problem = uneven_engines(gpus, int(part.rollout.tensor_model_parallel_size)) or uneven_batches(
        int(cfg.data.train_batch_size),
        int(part.actor.ppo_mini_batch_size),
        int(part.rollout.n),
        gpus // int(part.actor.ulysses_sequence_parallel_size),
    )
    if problem:
        raise ConfigError(f"{problem}.")


def _check_memory(object_store: int) -> None:
    available = psutil.virtual_memory().available
    if available < _CPU_MEMORY_BYTES:
        raise ConfigError(
            f"{available / _GIB:.1f} GiB of memory are free; the CPU run needs "
            f"{_CPU_MEMORY_BYTES / _GIB:.0f}. Close other programs or use a larger machine."
        )
    needed = object_store + (1 << 28)
    free = shutil.disk_usage(_SHM).free
    if free < needed:
        raise ConfigError(
            f"{_SHM} has {free / _GIB:.2f} GiB free; Ray's object store and weight sync need "
            f"{needed / _GIB:.2f}. In a container start it with --shm-size=2g, or lower "
            "ray_kwargs.ray_init.object_store_memory."
        )
