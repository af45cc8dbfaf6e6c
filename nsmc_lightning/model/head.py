"""Hidden states → one vector a text → logits."""

from typing import Literal

from torch import Tensor, nn


class ClassifierHead(nn.Module):
    """Pooling, dropout and a linear layer.

    Args:
        hidden_size: width H of the encoder.
        num_outputs: C, classes, or 1 for a sigmoid.
        pooling: ``cls`` takes the first token's state, ``pooler`` what the encoder's pooler makes of it, ``mean`` the
            mean over the tokens that are not padding.
        dropout: share of the pooled vector that is dropped in training.
        initializer_range: standard deviation of the new weights; BERT's (Devlin et al. 2019) by default.
    """

    def __init__(
        self,
        hidden_size: int,
        num_outputs: int,
        pooling: Literal["cls", "pooler", "mean"],
        dropout: float,
        initializer_range: float = 0.02,
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden_size, num_outputs)
        nn.init.normal_(self.linear.weight, std=initializer_range)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor, attention_mask: Tensor, pooled: Tensor | None) -> Tensor:
        """Classifies texts.

        *Shape:* ``hidden`` (B, T, H), ``attention_mask`` (B, T) with 0 on padding, ``pooled`` (B, H) or None where the
        pooling is another; result (B, C), in the dtype of the weights.
        """
        return self.linear(self.dropout(self._pool(hidden, attention_mask, pooled)))

    def _pool(self, hidden: Tensor, attention_mask: Tensor, pooled: Tensor | None) -> Tensor:
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "mean":
            return mean_of_tokens(hidden, attention_mask)
        assert pooled is not None, "the encoder was loaded without its pooler"
        return pooled


def mean_of_tokens(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean over the tokens that are not padding, summed in float32: sums in half precision lose digits.

    *Shape:* ``hidden`` (B, T, H), ``attention_mask`` (B, T); result (B, H) in the dtype of ``hidden``.
    """
    padding = attention_mask.unsqueeze(-1) == 0
    total = hidden.float().masked_fill(padding, 0.0).sum(dim=1)
    count = attention_mask.ne(0).sum(dim=1, keepdim=True).clamp(min=1)
    return (total / count).to(hidden.dtype)
