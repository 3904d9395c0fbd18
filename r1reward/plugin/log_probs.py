"""Log-probabilities of tokens from logits, many tokens at a time, without flash-attn."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Logits in single precision at once, of all tokens together: 128 MiB, and few kernels.
_AT_ONCE = 2**25


class _TokenLogProbs(torch.autograd.Function):  # type: ignore[misc]
    """Keeps the logits and one number a token for backward, and computes softmax again there."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        wide = torch.promote_types(logits.dtype, torch.float32)
        normalizers = logits.new_empty(labels.shape, dtype=wide)
        chosen = torch.empty_like(normalizers)
        for part in _parts(logits):
            rows = logits[part].to(wide)
            normalizers[part] = torch.logsumexp(rows, dim=-1)
            chosen[part] = rows.gather(-1, labels[part].unsqueeze(-1)).squeeze(-1)
        ctx.save_for_backward(logits, labels, normalizers)
        return chosen - normalizers

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, labels, normalizers = ctx.saved_tensors
        [gradient] = gradients
        found = torch.empty_like(logits)
        for part in _parts(logits):
            upward = gradient[part].unsqueeze(-1).to(normalizers.dtype)
            rows = logits[part].to(normalizers.dtype) - normalizers[part].unsqueeze(-1)
            rows.exp_().mul_(-upward).scatter_add_(-1, labels[part].unsqueeze(-1), upward)
            found[part] = rows
        return found, None


def _parts(logits: Tensor) -> Iterator[slice]:
    rows, columns = logits.shape
    count = max(1, _AT_ONCE // max(1, columns))
    return (slice(first, first + count) for first in range(0, rows, count))


def token_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the log-probability of each label under the softmax of its row.

    Args:
        logits: (..., vocabulary), any float type.
        labels: (...), int64.

    Returns:
        (...), of at least single precision, in which it is computed whatever the logits are.
    """
    flat = logits.reshape(-1, logits.shape[-1])
    found: Tensor = _TokenLogProbs.apply(flat, labels.reshape(-1))
    return found.view(labels.shape)
