"""The one door to the fast paths of an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsmc_lightning.model.fast.attention import SHORT_TEXTS, register
from nsmc_lightning.model.fast.dropout import use_fast_dropout
from nsmc_lightning.model.fast.kernels import OURS, Kernels, use_kernels
from nsmc_lightning.model.fast.linear import use_fast_linear
from nsmc_lightning.model.fast.probe import Probe, probe
from nsmc_lightning.model.fast.states import may_be_packed

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def use_fast_paths(encoder: PreTrainedModel) -> Probe:
    """Give an encoder faster dropouts, linear layers and attention, and probe which layouts of texts it supports.

    The names of its weights stay. An encoder with which our attention is not exact keeps that of torch. Until
    :func:`~nsmc_lightning.model.fast.kernels.use_kernels` says otherwise, it computes with torch's own kernels.

    Raises:
        UserError: the encoder fails on texts of a few tokens, or of different lengths.
    """
    use_fast_dropout(encoder)
    use_fast_linear(encoder)
    use_kernels(encoder, OURS)
    if may_be_packed(encoder):
        register()
        encoder.set_attn_implementation(SHORT_TEXTS)
    found = probe(encoder)
    if may_be_packed(encoder) and not (found.pads and found.packs):
        encoder.set_attn_implementation("sdpa")
        found = probe(encoder)
    use_kernels(encoder, Kernels())
    return found
