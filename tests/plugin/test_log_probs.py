"""Token log-probabilities in verl's place: against float64, and beside verl as it comes."""

import json

import pytest
import torch
import verl  # noqa: F401  (loads the plug-in)
from support.plugged import COUNTED, lines
from verl.utils import torch_functional

from r1reward.plugin import log_probs
from r1reward.plugin.log_probs import token_log_probs

TOKENS, WORDS = 37, 11


def exact(logits, labels, upward):
    """Log-probabilities and their gradient, in double precision by torch's own log-softmax."""
    wide = logits.detach().double().requires_grad_()
    found = torch.log_softmax(wide, -1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    found.backward(upward.double())
    return found.detach(), wide.grad


@pytest.mark.parametrize("at_once", [1, 5 * WORDS, 2**25])  # below a row; several rows; all
@pytest.mark.parametrize(
    ("dtype", "near"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 4e-3)]
)
def test_values_and_gradients(monkeypatch, at_once, dtype, near) -> None:
    monkeypatch.setattr(log_probs, "_AT_ONCE", at_once)
    torch.manual_seed(0)
    logits = (10 * torch.randn(TOKENS, WORDS)).to(dtype).requires_grad_()
    labels, upward = torch.randint(WORDS, (TOKENS,)), torch.randn(TOKENS)
    values, gradient = exact(logits, labels, upward)
    found = torch_functional.logprobs_from_logits(logits, labels)
    found.backward(upward.to(found.dtype))
    # the value is never rounded to half; its gradient has the type of the logits
    torch.testing.assert_close(found.double(), values, rtol=0, atol=min(near, 1e-5))
    torch.testing.assert_close(logits.grad.double(), gradient, rtol=near, atol=near)
    assert logits.grad.dtype == dtype


def test_logits_that_single_precision_cannot_exponentiate() -> None:
    logits = torch.tensor([[0.0, 1000.0, -1000.0]] * 3, requires_grad=True)
    found = token_log_probs(logits, torch.tensor([0, 1, 2]))
    assert found.tolist() == [-1000.0, 0.0, -2000.0]
    found.sum().backward()
    assert logits.grad.tolist() == [[1.0, -1.0, 0.0], [0.0, 0.0, 0.0], [0.0, -1.0, 1.0]]


def test_shapes_are_those_of_the_labels() -> None:
    assert token_log_probs(torch.zeros(2, 3, 5), torch.zeros(2, 3).long()).shape == (2, 3)
    assert token_log_probs(torch.zeros(0, 5), torch.zeros(0).long()).shape == (0,)


COUNT = """
import json, torch, verl
from verl.utils.torch_functional import logprobs_from_logits
kept = 0
def keep(tensor):
    global kept
    kept += tensor.numel() * tensor.element_size()
    return tensor
logits = torch.randn(64, 1000, dtype=torch.bfloat16, requires_grad=True)
labels = torch.randint(1000, (64,))
with torch.autocast("cpu", torch.bfloat16), Counted():
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = logprobs_from_logits(logits, labels)
    found.float().sum().backward()
print(json.dumps({"calls": Counted.calls, "kept": kept}))
"""


def test_verl_alone_works_token_by_token_and_keeps_logits_in_single_precision() -> None:
    alone, ours = (
        json.loads(lines(COUNTED + COUNT, plugins)[-1]) for plugins in ("none", "r1reward")
    )
    assert alone["calls"] > 5 * 64
    assert ours["calls"] < 64
    assert alone["kept"] >= 64 * 1000 * 4
    assert ours["kept"] == 64 * (1000 * 2 + 8 + 4)  # logits as they are, labels, one number each
