"""MaskedLanguageModel: encoder and head, from token ids with hidden tokens to logits of these, without Lightning."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM
from transformers.initialization import no_init_weights

from nsmc_lightning.model.families import encoder_limits
from nsmc_lightning.model.fast.paths import use_fast_paths
from nsmc_lightning.model.fast.states import first_token_states
from nsmc_lightning.model.given import GivenStates
from nsmc_lightning.types import MaskedBatch

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


class MaskedLanguageModel(nn.Module):
    """A BERT-family encoder with its family's own head for masked tokens.

    Args:
        model: from :func:`~nsmc_lightning.model.backbone.load_masked_lm`; its encoder's layers are replaced by faster
            ones.
        config: its configuration as :meth:`as_pretrained` writes it, whose dropouts may differ.

    Attributes:
        limits: what the encoder accepts, for the data module.

    Raises:
        UserError: the encoder fails on texts of a few tokens.
    """

    def __init__(self, model: PreTrainedModel, config: PretrainedConfig) -> None:
        super().__init__()
        self.config = config
        encoder: Any = model.base_model
        self.encoder = encoder
        self.head = MaskedTokenHead(model)
        found = use_fast_paths(encoder)
        self._layer_by_layer = found.layer_by_layer
        self.limits = encoder_limits(encoder.config, found.packs)

    def forward(self, batch: MaskedBatch) -> tuple[Tensor, Tensor]:
        """Compute the logits of a batch's hidden tokens, and the states of its first tokens.

        The last layer and the head are computed at these places only.

        *Shape:* (M, vocabulary) and (B, H).
        """
        states = first_token_states(
            self.encoder,
            batch.input_ids,
            batch.attention_mask,
            batch.position_ids,
            torch.cat([batch.hidden, batch.first_tokens]),
            batch.packed,
            self._layer_by_layer,
        )
        hidden, first = states.split([len(batch.hidden), len(batch.first_tokens)])
        return self.head(hidden), first

    def as_pretrained(self) -> PreTrainedModel:
        """Return a copy as the family's unmodified ``…ForMaskedLM``, for its ``save_pretrained``."""
        with no_init_weights():  # random numbers for each weight would take longer than copying it
            model = AutoModelForMaskedLM.from_config(copy.deepcopy(self.config))
        prefix = self.encoder.base_model_prefix
        own = {f"{prefix}.{name}": tensor for name, tensor in self.encoder.state_dict().items()}
        weights = {**self.head.model.state_dict(), **own}
        model.load_state_dict({name: weights[name] for name in model.state_dict()})
        return model


class MaskedTokenHead(nn.Module):
    """The head of a family's ``…ForMaskedLM``, applied to the states of a few tokens.

    Its own ``forward`` is called, in which the encoder's place is taken by one that returns these states.

    Args:
        model: the family's model; its encoder is taken out.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        encoder = model.base_model
        setattr(model, model.base_model_prefix, GivenStates(encoder))
        self.model: Any = model

    def forward(self, states: Tensor) -> Tensor:
        """Compute logits.

        *Shape:* ``states`` (M, H); result (M, vocabulary), in the dtype of the weights or of autocast.
        """
        return self.model(inputs_embeds=states[:, None]).logits[:, 0]
