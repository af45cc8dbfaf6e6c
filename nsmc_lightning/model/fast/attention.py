"""Attention for short texts on a CPU: texts of like length together, each over its own tokens only.

``torch.nn.functional.scaled_dot_product_attention`` computes all W · W scores of a packed row, most of them between
texts, and its backward pass in bfloat16 is slow on CPUs (torch 2.13). Here the tokens of each text are gathered into
groups of like length, so that nearly all scores are used, and dropout costs little.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nsmc_lightning.model.fast.dropout import kept_scale

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHORT_TEXTS = "short_texts"
"""Name of this attention among those of transformers."""
_MAX_GROUPS = 4
_GROUP_COST = 3000  # in scores of one head: the fixed cost of a group's operations, estimated and not tuned


@cache
def register() -> None:
    """Make this attention one of those that transformers lets a model choose from, in this process.

    Not done at import, as it imports transformers' models, for which ``--help`` would wait.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(SHORT_TEXTS, attend)
    AttentionMaskInterface.register(SHORT_TEXTS, sdpa_mask)


def attention_of(encoder: PreTrainedModel) -> str:
    """Return the name of the attention that an encoder uses, such as sdpa; eager is the family's own."""
    return encoder.config._attn_implementation  # transformers 5.23 has no public way to read it


def uses_short_texts(encoder: PreTrainedModel) -> bool:
    """Whether an encoder's attention is this one."""
    return attention_of(encoder) == SHORT_TEXTS


class ShortTexts:
    """Where the texts of a batch are; made once a batch and used by every layer.

    Args:
        groups: for each group of N texts of at most L tokens the slots of their tokens among the R · W of the batch,
            int64 (N, L), -1 behind a text's end.
        num_slots: R · W.
        num_heads: of the encoder's attention.

    Attributes:
        shapes: of each group N · heads and L.
        biases: of each group 0 for tokens and -inf behind a text's end, float32 (N · heads, 1, L).
        taken: rows of states, by slot and head, in the order of the groups, int64 (T,).
        real: which of these are tokens, bool (T, 1).
        given: for each slot and head its place in that order, T for padding, int64 (R · W · heads,).
    """

    def __init__(self, groups: list[NDArray[np.int64]], num_slots: int, num_heads: int) -> None:
        heads = np.arange(num_heads)[:, None]
        self.shapes = [(len(slots) * num_heads, slots.shape[1]) for slots in groups]
        biases = [np.where(slots < 0, -np.inf, 0).astype(np.float32) for slots in groups]
        self.biases = [torch.from_numpy(bias.repeat(num_heads, axis=0)[:, None]) for bias in biases]
        rows = [np.where(slots < 0, -1, slots * num_heads)[:, None] for slots in groups]
        taken = np.concatenate([(row + np.where(row < 0, 0, heads)).reshape(-1) for row in rows])
        real = taken >= 0
        given = np.full(num_slots * num_heads, len(taken))
        given[taken[real]] = np.flatnonzero(real)
        self.taken, self.given = torch.from_numpy(np.where(real, taken, 0)), torch.from_numpy(given)
        self.real = torch.from_numpy(real)[:, None]


def short_texts(attention_mask: Tensor, position_ids: Tensor, num_heads: int, longest: int) -> ShortTexts | None:
    """Sort the texts of a batch into groups of like length; None if one of them has more than ``longest`` tokens.

    *Shape:* as in :class:`~nsmc_lightning.types.Batch`: int64 (R, W) both.
    """
    numbers = attention_mask.numpy().reshape(-1)
    starts = np.flatnonzero((position_ids.numpy().reshape(-1) == 0) & (numbers > 0))
    lengths = np.bincount(numbers)[numbers[starts]]
    if not len(lengths) or lengths.max() > longest:
        return None
    order = np.argsort(lengths, kind="stable")
    groups = []
    for texts in np.split(order, _cuts(lengths[order])):
        offsets = np.arange(lengths[texts[-1]])
        groups.append(np.where(offsets < lengths[texts, None], starts[texts, None] + offsets, -1))
    return ShortTexts(groups, len(numbers), num_heads)


def _cuts(lengths: NDArray[np.int64]) -> list[int]:
    """Return where to cut ascending lengths into groups so that the cost of their scores is least.

    Exact, by dynamic programming over the lengths that occur: a group ends with the last text of its length.
    """
    longest, ends = np.unique(lengths, return_index=True)
    ends = np.append(ends[1:], len(lengths))  # number of texts up to each length
    starts = np.append(0, ends[:-1])
    costs = (ends[None, :] - starts[:, None]) * longest[None, :] ** 2 + float(_GROUP_COST)
    costs[np.tril_indices(len(longest), -1)] = np.inf  # a group from row to column
    best, choices = costs[0], []
    for _ in range(_MAX_GROUPS - 1):
        ways = np.minimum.accumulate(np.vstack([best, costs[1:] + best[:-1, None]]), axis=0)
        choices.append(np.where(ways[-1] < best, (ways == ways[-1]).argmax(axis=0), 0))
        best = ways[-1]
    cuts, last = [], len(longest) - 1
    for choice in reversed(choices):
        if choice[last]:
            cuts.append(int(starts[choice[last]]))
            last = choice[last] - 1
    return cuts[::-1]


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    texts: ShortTexts | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend as an attention function of transformers, within ``texts`` if they are given, else by ``sdpa``.

    *Shape:* ``query``, ``key`` and ``value`` (R, heads, W, width), result (R, W, heads, width).
    """
    if texts is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    # Under autocast, rotary positions leave query and key in float32.
    states = (states.to(value.dtype).transpose(1, 2) for states in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _Attention.apply(*states, texts, scale, dropout), None


class _Attention(torch.autograd.Function):
    """Softmax attention within texts; *Shape:* of query, key, value and result (R, W, heads, width)."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, texts: ShortTexts, scaling: float, dropout: float
    ) -> Tensor:
        width = query.shape[-1]
        taken = [states.reshape(-1, width).index_select(0, texts.taken) for states in (query, key, value)]
        result = _with_zero_row(len(texts.taken), query)
        saved: list[Tensor | None] = []
        with torch.autocast("cpu", enabled=False):  # it would compute the softmax in float32
            for (q, k, v, given), bias in zip(_groups(texts, *taken, result), texts.biases, strict=True):
                weights = torch.softmax(torch.baddbmm(bias.to(q.dtype), q, k.transpose(1, 2), alpha=scaling), dim=-1)
                kept = kept_scale(weights, dropout) if dropout else None
                torch.bmm(weights if kept is None else weights * kept, v, out=given)
                saved += [weights, kept]
        ctx.save_for_backward(*taken, *saved)
        ctx.texts, ctx.scaling = texts, scaling
        return result.index_select(0, texts.given).view(query.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        texts, taken, saved = ctx.texts, ctx.saved_tensors[:3], iter(ctx.saved_tensors[3:])
        of_result = gradient.reshape(-1, gradient.shape[-1]).index_select(0, texts.taken).mul_(texts.real)
        results = [_with_zero_row(len(texts.taken), gradient) for _ in range(3)]
        with torch.autocast("cpu", enabled=False):
            for q, k, v, g, of_q, of_k, of_v in _groups(texts, *taken, of_result, *results):
                weights, kept = next(saved), next(saved)
                of_weights = torch.bmm(g, v.transpose(1, 2))
                if kept is not None:
                    of_weights *= kept
                torch.bmm((weights if kept is None else weights * kept).transpose(1, 2), g, out=of_v)
                of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scaling)
                torch.bmm(of_scores, k, out=of_q)
                torch.bmm(of_scores.transpose(1, 2), q, out=of_k)
        return *(states.index_select(0, texts.given).view(gradient.shape) for states in results), None, None, None


def _with_zero_row(rows: int, like: Tensor) -> Tensor:
    """Return an empty tensor of ``rows`` rows and one of zeros, which padding is given."""
    result = like.new_empty(rows + 1, like.shape[-1])
    result[-1] = 0
    return result


def _groups(texts: ShortTexts, *states: Tensor) -> Any:
    """Yield the views of each group: *Shape:* (N · heads, L, width) of ``states`` (T or T + 1, width)."""
    start = 0
    for rows, length in texts.shapes:
        yield [part[start : start + rows * length].view(rows, length, -1) for part in states]
        start += rows * length
