"""The vision tower's windows, many at a time, beside transformers' loop over them."""

import json

import pytest
import torch
import verl  # noqa: F401  (loads the plug-in)
from support.plugged import COUNTED, lines
from support.training import MODEL
from torch.nn.functional import scaled_dot_product_attention

from r1reward.patches.windows import Windows, attend, windows_of


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


def printed(script: str, plugins: str):
    """What a script says with our plug-in, or without."""
    return json.loads(lines(script, plugins, MODEL)[-1])


def test_the_tower_sees_the_same_with_fewer_calls() -> None:
    alone, ours = (printed(TOWER, plugins) for plugins in ("none", "r1reward"))
    for name in ("seen", "gradient"):
        torch.testing.assert_close(
            torch.tensor(ours[name]), torch.tensor(alone[name]), rtol=1e-4, atol=1e-4
        )
    # 2 x 3, 2 x 2 and 1 windows in layers of windows; three images in the others
    assert alone["calls"] > 3 * ours["layers"]
    assert ours["calls"] <= 5 * ours["layers"]
    assert ours["calls"] < alone["calls"]


PASS = """
import json, torch, verl
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
rope = {"type": "mrope", "mrope_section": [2, 3, 3]}
config = Qwen2_5_VLConfig(
    text_config=dict(hidden_size=112, intermediate_size=64, num_hidden_layers=28, vocab_size=2048,
                     num_attention_heads=7, num_key_value_heads=1, rope_scaling=rope),
    vision_config=dict(depth=32, hidden_size=64, num_heads=4, intermediate_size=96,
                       out_hidden_size=112),
    image_token_id=5, vision_start_token_id=6, video_token_id=7,
)
model = Qwen2_5_VLForConditionalGeneration._from_config(config, attn_implementation="sdpa").train()
model.gradient_checkpointing_enable({"use_reentrant": False})
grid = torch.tensor([[1, 42, 58], [1, 40, 60]] * 4)
ids = torch.full((8, 800), 9)
for row, tokens in zip(ids, (grid.prod(1) // 4).tolist()):
    row[10 : 10 + tokens] = 5
mask = torch.ones_like(ids)
mask[0, -20:] = 0
found = []
with Counted(), torch.autocast("cpu", torch.bfloat16):
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=torch.arange(800).expand(4, 8, 800),
        pixel_values=torch.randn(int(grid.prod(1).sum()), 1176), image_grid_thw=grid,
        use_cache=False,
    ).logits
    found.append(Counted.calls)
    logits.float().sum().backward()
    found.append(Counted.calls - found[0])
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_pass_over_7bs_layers_and_eight_images_takes_a_fraction_of_the_operations() -> None:
    """Narrow, but with all 28 and 32 layers: as many operations as the real one has."""
    alone, ours = (printed(COUNTED + PASS, plugins) for plugins in ("none", "r1reward"))
    assert ours[0] < alone[0] / 3
    assert ours[1] < alone[1] / 6
