"""Patches of transformers 5.9.0 and the kernels of torch, each with its reason.

Training installs them through the plug-in (:mod:`r1reward.plugin.patches` holds those of verl and
vLLM), evaluation by itself. ``tests/plugin/test_patches.py`` and ``tests/patches`` show for each
patch the failure that it removes.
"""

import functools
from typing import Any

from wrapt import register_post_import_hook


def windows_one_by_one(module: Any) -> None:
    """transformers/models/qwen2_5_vl/modeling_qwen2_5_vl.py:268-287: a call for every window.

    Without flash-attn the vision tower attends in a loop over windows of 64 patches, in each of
    its 32 layers, and waits for the GPU before each: for 7B and eight images of 600 tokens that is
    8,000 calls a pass, which take longer than what they compute. Windows of one length are
    attended to at once. The loop is left with a single chunk, and our function, which stands in
    for ``sdpa`` wherever it is told of windows, with the rest.
    """
    from r1reward.patches.windows import attend, windows_of

    attention, registry = module.Qwen2_5_VLVisionAttention, module.ALL_ATTENTION_FUNCTIONS
    original, plain = attention.forward, registry["sdpa"]

    @functools.wraps(original)
    def forward(
        self: Any, hidden_states: Any, cu_seqlens: Any, *args: object, **kwargs: Any
    ) -> Any:
        if self.config._attn_implementation == "sdpa":
            kwargs["windows"] = windows_of(cu_seqlens)
            cu_seqlens = cu_seqlens.new_tensor([0, hidden_states.shape[0]], device="cpu")
        return original(self, hidden_states, cu_seqlens, *args, **kwargs)

    @functools.wraps(plain)
    def sdpa(layer: Any, query: Any, key: Any, value: Any, *args: object, **kwargs: Any) -> Any:
        windows = kwargs.pop("windows", None)
        if windows is None:
            return plain(layer, query, key, value, *args, **kwargs)
        found = attend(query, key, value, windows, kwargs["scaling"], kwargs["dropout"])
        return found, None

    attention.forward = forward
    registry.register("sdpa", sdpa)


def a_plan_for_every_length(_module: Any) -> None:
    """Torch 2.11 on Hopper and newer: cuDNN's attention first, which plans anew for every shape.

    aten/src/ATen/native/cudnn/MHA.cpp keeps a plan for each shape and thread, and no two batches
    have as many windows, or the same padded length. On an H200 a small model's 450 steps of images
    took 98 s without it, and more than 290 s with it (recipes/benchmarks); half a second a plan was
    measured elsewhere (https://github.com/modelscope/FunASR/issues/3704). Our processes go
    without it; torch's flash and memory-efficient kernels plan nothing.
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)


_QWEN = "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl"


@functools.cache  # a patch must not wrap itself
def install() -> None:
    """Arrange for each patch to be applied when its module is imported; once in a process."""
    for patch in (windows_one_by_one, a_plan_for_every_length):
        register_post_import_hook(patch, _QWEN)
