"""How much faster than torch's our implementations are on this processor: measurements of a second or two."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from nsmc_lightning.model.fast.attention import attend, short_texts
from nsmc_lightning.model.fast.linear import FastLinear, has_onednn
from nsmc_lightning.model.fast.states import same_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ROUNDS = 5
_TOKENS = 768  # about those of a batch of 32 reviews
_FEW = 1  # tokens, and so one row, for a first look
_LENGTHS = (32, 96, 256)  # longest texts, in tokens; the scores of longer ones take much memory
_SHORT = (24,) * 5  # texts beside a long one in a packed row: 24 tokens are the mean of NSMC's reviews


def speed(default: Callable[[], None], other: Callable[[], None]) -> float:
    """Return how many times as fast as ``default`` the function ``other`` is: the median of several turns."""
    ratios = []
    for _ in range(1 + _ROUNDS):  # the first turn warms both up
        times = []
        for function in (default, other):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios[1:])


def linear_speed(hidden_size: int) -> float:
    """Return how many times as fast as MKL oneDNN computes a feed-forward layer in float32, forward and backward."""
    if not has_onednn():
        return 0.0
    values = torch.randn(_TOKENS, hidden_size, requires_grad=True)
    mkl, onednn = (FastLinear(hidden_size, 4 * hidden_size) for _ in range(2))
    onednn.onednn = True
    return speed(lambda: _differentiate(mkl, values), lambda: _differentiate(onednn, values))


def layer_speed(encoder: PreTrainedModel, use_dtype: Callable[[torch.dtype], None]) -> float:
    """Return how many times as fast bf16-mixed is as float32 on an encoder's first layer, forward and backward.

    Args:
        encoder: of a family whose layers :func:`~nsmc_lightning.model.fast.states.has_known_layers` knows.
        use_dtype: makes the encoder compute with its kernels for a dtype.
    """
    parts: Any = encoder
    layer, heads = parts.encoder.layer[0], encoder.config.num_attention_heads

    def step(dtype: torch.dtype, tokens: int) -> None:
        use_dtype(dtype)
        numbers, positions = _packed_texts(_LENGTHS[0], tokens)
        hidden = torch.randn(*numbers.shape, encoder.config.hidden_size, requires_grad=True)
        texts = short_texts(numbers, positions, heads, parts.kernels.packed)
        mask = same_text(numbers, added=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            result = layer(hidden, mask, **({} if texts is None else {"texts": texts}))
            torch.autograd.grad(result, [hidden, *layer.parameters()], torch.ones_like(result))

    few = speed(lambda: step(torch.float32, _FEW), lambda: step(torch.bfloat16, _FEW))
    if few < 0.5:  # without bfloat16 products it can be a hundred times slower: more would take a minute
        return few
    return speed(lambda: step(torch.float32, _TOKENS), lambda: step(torch.bfloat16, _TOKENS))


@dataclass(frozen=True)
class AttentionSpeed:
    """Compares our attention with torch's.

    Args:
        heads: number of attention heads.
        width: of a head.
        dtype: of the states.
        dropout: probability of dropping an attention weight in training.
    """

    heads: int
    width: int
    dtype: torch.dtype
    dropout: float

    def longest_faster(self, factor: float, packed: bool, training: bool) -> int:
        """Return up to which length of texts our attention is ``factor`` times as fast as torch's; 0 if at none.

        Args:
            factor: at least 1.
            packed: several texts of different lengths in a row; False for one a row, of one length.
            training: with dropout and the backward pass.
        """
        found = 0
        for length in _LENGTHS:
            if self.at(length, packed, training) < factor:
                break
            found = length
        return found

    def at(self, length: int, packed: bool, training: bool) -> float:
        """Return how many times as fast as torch's our attention is on texts of at most ``length`` tokens."""
        numbers, positions = _packed_texts(length, _TOKENS) if packed else _padded_texts(length)
        mask = same_text(numbers, added=True).to(self.dtype) if packed else (numbers > 0)[:, None, None, :]
        shape, dropout = (*numbers.shape, self.heads, self.width), self.dropout if training else 0.0
        query, key, value = (
            torch.randn(shape, dtype=self.dtype).transpose(1, 2).requires_grad_(training) for _ in range(3)
        )

        def theirs() -> Tensor:
            return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)

        def ours() -> Tensor:
            texts = short_texts(numbers, positions, self.heads, length)  # once a batch; its layers share it
            return attend(nn.Identity(), query, key, value, None, dropout=dropout, texts=texts)[0]

        def step(attention: Callable[[], Tensor]) -> None:
            result = attention()
            if training:
                torch.autograd.grad(result, [query, key, value], torch.ones_like(result))

        with torch.set_grad_enabled(training):
            return speed(lambda: step(theirs), lambda: step(ours))


def _differentiate(layer: nn.Module, values: Tensor) -> None:
    result = layer(values)
    torch.autograd.grad(result, [values, *layer.parameters()], torch.ones_like(result))


def _packed_texts(longest: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Return a numbered mask and positions of rows with one long text and several short ones, int64 (R, W) both."""
    lengths = torch.tensor([longest, *_SHORT])
    rows = math.ceil(tokens / int(lengths.sum()))
    numbers = torch.arange(1, len(lengths) + 1).repeat_interleave(lengths)
    positions = torch.cat([torch.arange(int(length)) for length in lengths])
    return numbers + len(lengths) * torch.arange(rows)[:, None], positions.repeat(rows, 1)


def _padded_texts(length: int) -> tuple[Tensor, Tensor]:
    """Return a numbered mask and positions of texts of ``length`` tokens, int64 (N, length) both."""
    rows = _TOKENS // length
    return torch.arange(1, rows + 1)[:, None].repeat(1, length), torch.arange(length).repeat(rows, 1)
