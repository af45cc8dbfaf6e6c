"""The one door to the fast paths of an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsmc_lightning.model.fast.dropout import use_fast_dropout
from nsmc_lightning.model.fast.linear import use_fast_linear
from nsmc_lightning.model.fast.probe import Probe, probe

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def use_fast_paths(encoder: PreTrainedModel) -> Probe:
    """Replace an encoder's dropouts and linear layers by faster ones, and probe which layouts of texts it supports.

    The names of its weights stay.

    Raises:
        UserError: the encoder fails on texts of a few tokens, or of different lengths.
    """
    use_fast_dropout(encoder)
    use_fast_linear(encoder)
    return probe(encoder)
