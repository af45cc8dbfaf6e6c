"""SequenceClassifier: encoder, pooling and head, from token ids to logits, without Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from nsmc_lightning.model.families import encoder_limits
from nsmc_lightning.model.fast.paths import use_fast_paths
from nsmc_lightning.model.fast.states import first_token_states, token_states
from nsmc_lightning.model.head import ClassifierHead, mean_of_tokens, through_pooler
from nsmc_lightning.types import Batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from nsmc_lightning.model.family_head import FamilyHead


class SequenceClassifier(nn.Module):
    """A BERT-family encoder with a classification head.

    Args:
        encoder: from :func:`~nsmc_lightning.model.backbone.load_encoder`; its layers are replaced by faster ones.
        num_outputs: number of logits C: the classes, or 1 for a sigmoid.
        pooling: cls (first token), pooler (the encoder's own), mean (over all tokens), or head (``family_head``).
        dropout: dropout before the linear layer.
        family_head: head of the encoder's own family; None for dropout and a linear layer.

    Attributes:
        limits: what the encoder accepts, for the data module.
        pooling: the vector of a text that the head reads: cls, pooler or mean.
        temperature: T of the calibrated probabilities ``softmax(logits / T)`` (Guo et al. 2017, arXiv 1706.04599).

    Raises:
        UserError: the encoder fails on texts of a few tokens.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        num_outputs: int,
        pooling: Literal["cls", "pooler", "mean", "head"],
        dropout: float = 0.1,
        family_head: FamilyHead | None = None,
    ) -> None:
        super().__init__()
        self.temperature = 1.0
        self.encoder = encoder
        self.head: ClassifierHead | FamilyHead
        if family_head is None:
            self.pooling, self.head = pooling, ClassifierHead(encoder.config.hidden_size, num_outputs, dropout)
        else:
            self.pooling, self.head = family_head.pooling, family_head
        found = use_fast_paths(encoder)
        self._layer_by_layer = found.layer_by_layer
        self.limits = encoder_limits(encoder.config, found.packs)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        first_tokens: Tensor,
        packed: bool = False,
    ) -> Tensor:
        """Compute the logits of texts that are padded, one a row, or packed end to end in rows.

        *Shape:* as in :class:`~nsmc_lightning.types.Batch`: int64 (R, W) each, ``first_tokens`` (B,); result (B, C).
        """
        if self.pooling == "mean":
            hidden = token_states(self.encoder, input_ids, attention_mask, position_ids, packed)
            return self.head(mean_of_tokens(hidden, attention_mask, first_tokens, packed))
        states = first_token_states(
            self.encoder, input_ids, attention_mask, position_ids, first_tokens, packed, self._layer_by_layer
        )
        return self.head(through_pooler(self.encoder, states) if self.pooling == "pooler" else states)

    def classify(self, batch: Batch) -> Tensor:
        """Compute the logits of a batch.

        *Shape:* (B, C).
        """
        return self(*forward_arguments(batch))

    def probabilities(self, batch: Batch) -> Tensor:
        """Compute the calibrated probabilities of a batch.

        *Shape:* float32 (B, classes).
        """
        return to_probabilities(self.classify(batch), self.temperature)


def forward_arguments(batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor, bool]:
    """Return the arguments of :meth:`SequenceClassifier.forward` for a batch."""
    return batch.input_ids, batch.attention_mask, batch.position_ids, batch.first_tokens, batch.packed


def twice(batch: Batch) -> Batch:
    """Return a batch with each text once more, in the same order, behind the last; the rows of both are alike.

    *Shape:* 2R rows and 2B texts for R and B.
    """
    ids, numbers = batch.input_ids, batch.attention_mask
    return Batch(
        rows=batch.rows.repeat(2),
        input_ids=ids.repeat(2, 1),
        attention_mask=torch.cat([numbers, torch.where(numbers > 0, numbers + len(batch.rows), 0)]),
        labels=None if batch.labels is None else batch.labels.repeat(2),
        num_tokens=2 * batch.num_tokens,
        position_ids=batch.position_ids.repeat(2, 1),
        first_tokens=torch.cat([batch.first_tokens, batch.first_tokens + ids.numel()]),
        packed=batch.packed,
    )


def to_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Compute the softmax of logits / temperature, or both sides of the sigmoid of a single logit, in float32.

    *Shape:* ``logits`` (B, C) of any float dtype; result float32 (B, C), or (B, 2) for C = 1.
    """
    logits = logits.float() / temperature
    if logits.shape[1] == 1:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)
    return torch.softmax(logits, dim=1)
