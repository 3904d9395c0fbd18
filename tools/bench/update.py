"""Gain of the patches in an update without flash-attn: ``r1reward bench-update``.

Micro-batches forward and backward, activations recomputed, on one GPU, as ``make train`` computes
them there but for sharding. The first contestant has none of our patches, and each of the others
one more; each has a process of its own, so that none finds what another planned.
No two micro-batches are padded to one length, or have images of the same sizes, as in training.
"""

import multiprocessing
import runpy
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, TypedDict

from omegaconf import DictConfig
from rich.table import Table

from r1reward.cli.command import run_command
from r1reward.core.errors import ConfigError
from r1reward.machine.console import console_on
from r1reward.patches import transformers as patches
from r1reward.plan import gpu
from r1reward.plan.hardware import hardware_here
from r1reward.plan.model import model_of
from r1reward.tools.bench.kept import Figure, conclude, content, file_of, write
from r1reward.tools.bench.machine import Machine, here

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    LogProbs = Callable[[Tensor, Tensor], Tensor]  # of logits and labels

_PACKAGES = ("verl", "torch", "transformers")
# In this order, each beside those before it.
CONTESTANTS = ("no patch", "windows together", "no cuDNN plans", "log-probs by rows")


class Pace(TypedDict):
    """How fast a contestant is: seconds and FLOP/s of a micro-batch; of the last, its kernels."""

    seconds: list[float]
    median_s: float
    flops: float
    gpu_s: NotRequired[float]
    kernels: NotRequired[list[tuple[str, float, int]]]


@dataclass(frozen=True, slots=True)
class Batch:
    """A micro-batch on the device.

    Attributes:
        inputs: arguments of the model; ``input_ids`` int64 (sequences, longest), padded right.
        tokens: of all its sequences, images included, padding not.
        images: those of its images.
    """

    inputs: "dict[str, Tensor]"
    tokens: int
    images: int


def batch(cfg: DictConfig, model: "PreTrainedModel", number: int) -> Batch:
    """Return the micro-batch of this number; all of one configuration are the same every time."""
    import torch

    vision, device = model.config.vision_config, model.device
    merge = vision.spatial_merge_size
    grids = [
        (1, cfg.image[0] - merge * (row % 2), cfg.image[1] - merge * number)
        for row in range(cfg.sequences)
    ]
    images = [down * across // merge**2 for _, down, across in grids]
    texts = [cfg.tokens - 2 * (number * cfg.sequences + row) for row in range(cfg.sequences)]
    if min(texts) < 2 or min(images) < 1:
        raise ConfigError("tokens, image: too small for so many sequences and micro-batches")
    lengths = [image + text for image, text in zip(images, texts, strict=True)]
    random = torch.Generator(device).manual_seed(number)
    shape = (cfg.sequences, max(lengths))
    ids = torch.randint(
        min(1000, model.config.image_token_id), shape, device=device, generator=random
    )
    places = torch.arange(shape[1], device=device)
    ids[places < torch.tensor(images, device=device).unsqueeze(1)] = model.config.image_token_id
    pixels = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    inputs = {
        "input_ids": ids,
        "attention_mask": (places < torch.tensor(lengths, device=device).unsqueeze(1)).long(),
        "position_ids": places.expand(4, *shape),  # one of text, three of M-RoPE
        "pixel_values": torch.randn(
            (merge**2 * sum(images), pixels), device=device, generator=random, dtype=model.dtype
        ),
        "image_grid_thw": torch.tensor(grids, device=device),
    }
    return Batch(inputs, sum(lengths), sum(images))


def passes(model: "PreTrainedModel", given: Batch, log_probs: "LogProbs") -> "Tensor":
    """Return the sum of all tokens' log-probs, a scalar; its gradient has been computed."""
    logits = model(**given.inputs, use_cache=False).logits[:, :-1]
    labels = given.inputs["input_ids"][:, 1:]
    found = log_probs(logits.flatten(0, 1), labels.flatten())
    total = (found * given.inputs["attention_mask"][:, 1:].flatten()).sum()
    total.backward()
    return total.detach()


def verls_log_probs() -> "LogProbs":
    """Return verl's function as it is without the patch: from a second copy of its module."""
    from verl.utils import torch_functional

    found: LogProbs = runpy.run_path(torch_functional.__file__)["logprobs_from_logits_v2"]
    return found


@contextmanager
def patched(contestant: str) -> Iterator["LogProbs"]:
    """Have the patches up to that of ``contestant``, and no more; yields its log-probs."""
    import torch
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as modeling

    from r1reward.plugin.log_probs import token_log_probs

    rank = CONTESTANTS.index(contestant)
    attention, cudnn = modeling.Qwen2_5_VLVisionAttention, torch.backends.cuda.cudnn_sdp_enabled()
    together = attention.forward
    attention.forward = together if rank >= 1 else together.__wrapped__
    torch.backends.cuda.enable_cudnn_sdp(rank < 2)
    try:
        yield token_log_probs if rank >= 3 else verls_log_probs()
    finally:
        attention.forward = together
        torch.backends.cuda.enable_cudnn_sdp(cudnn)


def timed(
    cfg: DictConfig, model: "PreTrainedModel", contestant: str
) -> tuple[list[float], list[float]]:
    """Return seconds and FLOP/s of each timed micro-batch.

    By the plan's count: four passes forward, padding not counted.
    """
    seconds, reached, size = [], [], model_of(cfg.model_path)
    with patched(contestant) as log_probs:
        for number in range(cfg.warm_up + cfg.batches):
            given = batch(cfg, model, number)
            _wait(model)
            began = time.perf_counter()
            passes(model, given, log_probs)
            _wait(model)
            seconds.append(time.perf_counter() - began)
            model.zero_grad()
            flops = size.forward_flops(given.tokens, given.images, given.tokens / cfg.sequences)
            reached.append(4 * flops / seconds[-1])
    return seconds[cfg.warm_up :], reached[cfg.warm_up :]


def _wait(model: "PreTrainedModel") -> None:
    import torch

    if model.device.type == "cuda":
        torch.cuda.synchronize()


def profile(cfg: DictConfig, model: "PreTrainedModel") -> list[tuple[str, float, int]]:
    """Return ``(name, seconds, calls)`` of the GPU's kernels in one micro-batch, longest first.

    With all patches.
    """
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    given = batch(cfg, model, cfg.warm_up + cfg.batches)
    on = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with patched(CONTESTANTS[-1]) as log_probs, profiler(activities=on) as found:
        passes(model, given, log_probs)
        _wait(model)
    rows = [row for row in found.key_averages() if row.device_type == DeviceType.CUDA]
    kernels = [(row.key, row.self_device_time_total / 1e6, row.count) for row in rows]
    return sorted(kernels, key=lambda kernel: -kernel[1])


def compete(cfg: DictConfig, contestant: str) -> Pace:
    """Return what ``bench.json`` holds of a contestant; of the last one on a GPU, its kernels."""
    model = build(cfg)
    seconds, reached = timed(cfg, model, contestant)
    found: Pace = {
        "seconds": seconds,
        "median_s": statistics.median(seconds),
        "flops": statistics.median(reached),
    }
    # Not of the others: a profile of every row's log-probs takes minutes.
    if contestant == CONTESTANTS[-1] and model.device.type == "cuda":
        kernels = profile(cfg, model)
        found["gpu_s"] = sum(spent for _, spent, _ in kernels)
        found["kernels"] = kernels[: cfg.kernels]
    return found


def build(cfg: DictConfig) -> "PreTrainedModel":
    """Return a model of the dimensions given, of random weights, as the GPU profiles train it."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    patches.install()
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForImageTextToText.from_config(
            AutoConfig.from_pretrained(cfg.model_path),
            dtype=torch.bfloat16,
            attn_implementation="sdpa",
        )
    model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def table(found: Mapping[str, Pace], where: Machine, peak: float) -> Table:
    """Return a row for each contestant."""
    machine = ", ".join([*where["gpus"], where["cpu"], f"{where['cores']} cores", where["date"]])
    shown = Table(title=machine, title_justify="left", title_style="bold")
    for column in ("added to those above", "s a micro-batch", "all", "of the first", "of peak"):
        shown.add_column(column, justify="left" if column.startswith("added") else "right")
    first = next(iter(found.values()))["median_s"]
    for name, one in found.items():
        every = " ".join(f"{second:.2f}" for second in one["seconds"])
        share = f"{one['flops'] / peak:.1%}" if peak else "-"
        ratio = f"{one['median_s'] / first:.0%}"
        shown.add_row(name, f"{one['median_s']:.3f}", every, ratio, share)
    return shown


def kernel_table(one: Pace) -> Table:
    """Return a row for each of the kernels that take longest."""
    shown = Table(title=f"one micro-batch, {one['gpu_s']:.2f} s of the GPU", title_justify="left")
    for column in ("kernel", "seconds", "calls"):
        shown.add_column(column, justify="left" if column == "kernel" else "right")
    for name, seconds, calls in one["kernels"]:
        shown.add_row(name[:60], f"{seconds:.3f}", str(calls))
    return shown


def bench(cfg: DictConfig) -> None:
    """Time every contestant, then show where the time of the last one goes."""
    console, where, path = console_on(sys.stdout), here(_PACKAGES), file_of(cfg)
    found: dict[str, Pace] = {}
    peak = 0.0
    with suppress(ConfigError):  # of a GPU that the plan does not know
        peak = gpu(hardware_here(where["gpus"])).flops
    for contestant in CONTESTANTS:
        console.print(contestant)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found[contestant] = pool.submit(compete, cfg, contestant).result()
    console.print(table(found, where, peak))
    if "kernels" in found[CONTESTANTS[-1]]:
        console.print(kernel_table(found[CONTESTANTS[-1]]))
    figures = {
        f"{name}, s a micro-batch": Figure(one["median_s"], 0.15) for name, one in found.items()
    }
    result = content("update", cfg, where, figures, contestants=found)
    write(path, result)
    conclude(console, path)


def main() -> None:
    """Run the command."""
    run_command("bench_update", bench)


if __name__ == "__main__":
    main()
