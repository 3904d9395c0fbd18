"""Attention inside the windows of images without flash-attn: those of one length together."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

_KEPT = "_r1_windows"  # on the tensor of boundaries, which all layers of a pass share


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows by their length.

    Attributes:
        groups: ``(how many, their length)``.
        order: int64 (tokens): windows of one length beside each other; None where they are.
        back: the inverse of ``order``.
    """

    groups: list[tuple[int, int]]
    order: Tensor | None
    back: Tensor | None


def windows_of(boundaries: Tensor) -> Windows:
    """Return the windows between ``boundaries`` (int, ascending, from 0 to all tokens)."""
    found: Windows | None = getattr(boundaries, _KEPT, None)
    if found is None:
        ends = boundaries.tolist()
        found = _grouped([(a, b) for a, b in pairwise(ends) if b > a])
        if found.order is not None:
            order = found.order.to(boundaries.device)
            found = Windows(found.groups, order, torch.argsort(order))
        setattr(boundaries, _KEPT, found)
    return found


def _grouped(spans: list[tuple[int, int]]) -> Windows:
    lengths = [end - begin for begin, end in spans]
    groups = [(lengths.count(length), length) for length in sorted(set(lengths), reverse=True)]
    if lengths == sorted(lengths, reverse=True):
        return Windows(groups, None, None)
    sorted_spans = sorted(spans, key=lambda span: span[0] - span[1])
    order = torch.cat([torch.arange(*span) for span in sorted_spans])
    return Windows(groups, order, None)


def attend(
    query: Tensor, key: Tensor, value: Tensor, windows: Windows, scaling: float, dropout: float
) -> Tensor:
    """Return attention of every token to those of its own window.

    Args:
        query: (1, heads, tokens, dim).
        key: as the query.
        value: as the query.
        windows: of the tokens.
        scaling: of the scores.
        dropout: share of scores that are dropped.

    Returns:
        (1, tokens, heads, dim).
    """
    sorted_by_length = [
        one[0] if windows.order is None else one[0].index_select(1, windows.order)
        for one in (query, key, value)
    ]
    found, begin = [], 0
    for count, length in windows.groups:
        q, k, v = (
            one[:, begin : begin + count * length].unflatten(1, (count, length)).transpose(0, 1)
            for one in sorted_by_length
        )
        inside = scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling)
        found.append(inside.transpose(1, 2).flatten(0, 1))
        begin += count * length
    together = torch.cat(found)
    if windows.back is not None:
        together = together.index_select(0, windows.back)
    return together.unsqueeze(0)
