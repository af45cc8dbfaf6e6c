"""The classification head of an encoder's own family: that of its ``…ForSequenceClassification`` in transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from transformers.initialization import no_init_weights

from nsmc_lightning.errors import reason
from nsmc_lightning.model.backbone import load_classifier, load_encoder, no_family_head
from nsmc_lightning.model.given import GivenStates
from nsmc_lightning.model.head import through_pooler

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Vector = Literal["cls", "pooler", "mean"]
"""What represents a text: the state of its first token, that state through the encoder's pooler, or the mean state."""
_LENGTH = 5  # tokens of the text that is tried


class FamilyHead(nn.Module):
    """The head of a family's ``…ForSequenceClassification``: dropout, layers and activations as its class has them.

    Args:
        model: an object of that class, whose encoder is replaced by :class:`GivenStates`.
        pooling: the vector of a text that the head reads.
    """

    def __init__(self, model: PreTrainedModel, pooling: Vector) -> None:
        super().__init__()
        self.model = model
        self.pooling: Vector = pooling

    def forward(self, pooled: Tensor) -> Tensor:
        """Compute logits.

        *Shape:* ``pooled`` (B, H); result (B, C), in the dtype of the weights.
        """
        return self.model(inputs_embeds=pooled[:, None])[0]


def load_parts(
    backbone: str | dict[str, Any],
    pretrained: bool,
    pooling: Literal["cls", "pooler", "mean", "head"],
    num_outputs: int,
    dropout: float | None = None,
    hidden_dropout: float | None = None,
    attention_dropout: float | None = None,
) -> tuple[PreTrainedModel, FamilyHead | None]:
    """Build the encoder for a pooling, and for ``head`` the family's own head.

    Args:
        backbone: as for :func:`~nsmc_lightning.model.backbone.load_encoder`, like the others that are not named here.
        pretrained: as there.
        pooling: as in :class:`~nsmc_lightning.model.module.BertClassifierModule`.
        num_outputs: number of logits.
        dropout: replaces the configuration's dropout in the family's head.
        hidden_dropout: as there.
        attention_dropout: as there.

    Raises:
        UserError: as there, or the family has no head that can be used.
    """
    if pooling == "head":
        return take_encoder(
            load_classifier(backbone, pretrained, num_outputs, dropout, hidden_dropout, attention_dropout)
        )
    return load_encoder(backbone, pretrained, pooling == "pooler", hidden_dropout, attention_dropout), None


def stored_parts(
    backbone: dict[str, Any],
    pooling: Literal["cls", "pooler", "mean", "head"],
    num_outputs: int,
    weights: Mapping[str, Tensor],
) -> tuple[PreTrainedModel, FamilyHead | None]:
    """Build what :func:`load_parts` builds, with the weights of a checkpoint.

    Args:
        backbone: the stored configuration.
        pooling: as for :func:`load_parts`.
        num_outputs: as for :func:`load_parts`.
        weights: by their names in a :class:`~nsmc_lightning.model.network.SequenceClassifier`.
    """
    with no_init_weights():  # random numbers for each weight would take longer than reading it
        if pooling == "head":
            model = load_classifier(backbone, False, num_outputs)
        else:
            model = load_encoder(backbone, False, pooling == "pooler")
    if pooling == "head":
        model.load_state_dict(classifier_weights(model, weights))
        return take_encoder(model)
    model.load_state_dict({name: weights[f"encoder.{name}"] for name in model.state_dict()})
    return model, None


def take_encoder(model: PreTrainedModel) -> tuple[PreTrainedModel, FamilyHead]:
    """Take the encoder out of a family's classifier, and find which vector of a text the head reads.

    That is found by trial: the head must give the classifier's own logits of a text. The trial needs weights that tell
    vectors apart; random ones do. A pooler that the head does not read is frozen: under DDP, it would have to learn.

    Args:
        model: the classifier; its encoder is replaced. Its mode stays as it is.

    Raises:
        UserError: the head reads something else, as do those of classes that give their encoder a further input.
    """
    encoder, family, training = getattr(model, model.base_model_prefix), model.config.model_type, model.training
    try:
        pooling = _vector_read_by(model.eval(), encoder)
    except Exception as error:  # each family's code raises errors of its own
        raise no_family_head(family, reason(error)) from error
    finally:
        model.train(training)
        encoder.train(training)
    if pooling is None:
        raise no_family_head(family, "their head reads neither the first token nor the mean over all tokens")
    if pooling != "pooler" and getattr(encoder, "pooler", None) is not None:
        encoder.pooler.requires_grad_(False)
    return encoder, FamilyHead(model, pooling)


@torch.no_grad()
def _vector_read_by(model: PreTrainedModel, encoder: Any) -> Vector | None:
    ids = torch.arange(_LENGTH)[None] % model.config.vocab_size
    mask = torch.ones_like(ids)
    expected = model(input_ids=ids, attention_mask=mask)[0]
    setattr(model, model.base_model_prefix, GivenStates())
    states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    if states.shape[:2] != ids.shape:
        raise ValueError("the encoder of their class joins tokens")
    vectors: dict[Vector, Tensor] = {"cls": states[:, 0], "mean": states.mean(dim=1)}
    if getattr(encoder, "pooler", None) is not None:
        vectors["pooler"] = through_pooler(encoder, states[:, 0])
    for pooling, vector in vectors.items():
        found = FamilyHead(model, pooling)(vector)
        if torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max())):
            return pooling
    return None


def classifier_weights(model: PreTrainedModel, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pick the weights of a whole classifier from those of a :class:`~nsmc_lightning.model.network.SequenceClassifier`.

    Args:
        model: a family's classifier, with its encoder.
        weights: by their names in the network or in a checkpoint.
    """
    prefix = f"{model.base_model_prefix}."
    return {
        name: weights[f"encoder.{name.removeprefix(prefix)}" if name.startswith(prefix) else f"head.model.{name}"]
        for name in model.state_dict()
    }
