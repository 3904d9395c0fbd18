"""The vision tower's windows, many at a time, beside transformers' loop over them."""

import json
import os
import subprocess
import sys

import pytest
import torch
import verl  # noqa: F401  (loads the plug-in)
from torch.nn.functional import scaled_dot_product_attention

from r1reward.plugin.windows import Windows, attend, windows_of


@pytest.mark.parametrize(
    "ends", [[0, 4, 8, 12], [0, 3, 9, 10, 16, 19], [0, 7], [0, 5, 5, 6], [0, 6, 8, 9]]
)
def test_every_token_attends_to_its_own_window(ends) -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(1, 2, ends[-1], 4).double().requires_grad_() for _ in range(3)]
    upward = torch.randn(1, ends[-1], 2, 4).double()

    def gradients(found):
        return torch.autograd.grad(found, tensors, upward)

    # a mask instead of windows
    place = torch.bucketize(torch.arange(ends[-1]), torch.tensor(ends[1:-1]), right=True)
    mask = place[:, None] == place[None, :]
    exact = scaled_dot_product_attention(*tensors, attn_mask=mask, scale=0.3).transpose(1, 2)
    found = attend(*tensors, windows_of(torch.tensor(ends)), 0.3, 0.0)
    torch.testing.assert_close(found, exact)
    torch.testing.assert_close(gradients(found), gradients(exact))


def test_windows_of_one_length_lie_beside_each_other_the_long_ones_first() -> None:
    found = windows_of(torch.tensor([0, 2, 5, 7, 10, 11]))
    assert found.groups == [(2, 3), (2, 2), (1, 1)]
    assert found.order.tolist() == [2, 3, 4, 7, 8, 9, 0, 1, 5, 6, 10]
    assert found.order[found.back].tolist() == list(range(11))


def test_boundaries_are_read_once_for_all_layers() -> None:
    boundaries = torch.tensor([0, 2, 4])
    assert windows_of(boundaries) is windows_of(boundaries)
    assert windows_of(boundaries) == Windows([(2, 2)], None, None)


TOWER = """
import json, sys, torch, verl
from transformers import Qwen2_5_VLForConditionalGeneration
from torch.utils._python_dispatch import TorchDispatchMode
class Counted(TorchDispatchMode):
    calls = 0
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        Counted.calls += "attention" in str(function)
        return function(*args, **(kwargs or {}))
model = Qwen2_5_VLForConditionalGeneration.from_pretrained(sys.argv[1], dtype=torch.float32)
assert model.config.vision_config._attn_implementation == "sdpa"
torch.manual_seed(0)
grid = torch.tensor([[1, 12, 20], [1, 16, 16], [1, 6, 4]])  # windows of 8 x 8, and what is left
pixels = torch.randn(int(grid.prod(1).sum()), 3 * 2 * 14 * 14)
with Counted():
    seen = model.model.visual(pixels, grid_thw=grid).pooler_output
seen.pow(2).sum().backward()
weight = model.model.visual.blocks[0].attn.qkv.weight.grad
found = {"calls": Counted.calls, "layers": len(model.model.visual.blocks)}
print(json.dumps(found | {"seen": seen.tolist(), "gradient": weight.tolist()}))
"""


def tower(plugins: str):
    checkpoint = os.path.join(os.path.dirname(__file__), "..", "recipes", "tiny", "checkpoint")
    done = subprocess.run(
        [sys.executable, "-c", TOWER, checkpoint],
        env={**os.environ, "VERL_USE_EXTERNAL_PLUGINS": plugins},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_tower_sees_the_same_with_fewer_calls() -> None:
    alone, ours = tower("none"), tower("r1reward")
    for name in ("seen", "gradient"):
        torch.testing.assert_close(
            torch.tensor(ours[name]), torch.tensor(alone[name]), rtol=1e-4, atol=1e-4
        )
    # 2 x 3, 2 x 2 and 1 windows in layers of windows; three images in the others
    assert alone["calls"] > 3 * ours["layers"]
    assert ours["calls"] <= 5 * ours["layers"]
    assert ours["calls"] < alone["calls"]
