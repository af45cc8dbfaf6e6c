"""One vector a text → logits, and the ways to get that vector from the text's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ClassifierHead(nn.Module):
    """Dropout and a linear layer.

    Args:
        hidden_size: width H of the encoder.
        num_outputs: C, classes, or 1 for a sigmoid.
        dropout: share of the vector that is dropped in training.
        initializer_range: standard deviation of the new weights; 0.02 is BERT's (Devlin et al. 2019).
    """

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float, initializer_range: float = 0.02) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden_size, num_outputs)
        nn.init.normal_(self.linear.weight, std=initializer_range)
        nn.init.zeros_(self.linear.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """Compute logits.

        *Shape:* ``pooled`` (B, H); result (B, C), in the dtype of the weights.
        """
        return self.linear(self.dropout(pooled))


def through_pooler(encoder: PreTrainedModel, states: Tensor) -> Tensor:
    """Apply the encoder's own pooler to the states of each text's first token.

    *Shape:* ``states`` (B, H); result (B, H).
    """
    parts: Any = encoder
    if isinstance(parts.pooler, nn.Linear):  # ALBERT and BigBird have its activation beside it
        activation = parts.pooler_activation if hasattr(encoder, "pooler_activation") else parts.activation
        return activation(parts.pooler(states))
    return parts.pooler(states[:, None])  # takes the first token of each row


def mean_of_tokens(hidden: Tensor, attention_mask: Tensor, first_tokens: Tensor, packed: bool) -> Tensor:
    """Average each text's tokens; sums are in float32, as sums in half precision lose digits.

    *Shape:* ``hidden`` (R, W, H); ``attention_mask`` (R, W) and ``first_tokens`` (B,) as in
    :class:`~nsmc_lightning.types.Batch`; result (B, H) in the dtype of ``hidden``.
    """
    tokens = hidden.float().masked_fill(attention_mask[:, :, None] == 0, 0.0)  # 0 times NaN would be NaN
    if packed:
        numbers = torch.arange(1, len(first_tokens) + 1, device=hidden.device)
        share = attention_mask.flatten().eq(numbers[:, None]).float()  # (B, R · W)
        tokens = tokens.flatten(0, 1)
    else:
        share = attention_mask.ne(0).float()[:, None]  # (R, 1, W)
    share = share / share.sum(dim=-1, keepdim=True).clamp(min=1)
    with torch.autocast(hidden.device.type, enabled=False):
        # A product instead of index_add, whose order of additions varies on a GPU.
        mean = share @ tokens
    return mean.view(-1, hidden.shape[-1]).to(hidden.dtype)
