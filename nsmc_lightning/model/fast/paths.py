"""The one door to the fast paths of an encoder."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nsmc_lightning.errors import UserError, warn
from nsmc_lightning.model.fast.attention import SHORT_TEXTS, attention_of, register
from nsmc_lightning.model.fast.dropout import use_fast_dropout
from nsmc_lightning.model.fast.kernels import OURS, Kernels, use_kernels
from nsmc_lightning.model.fast.linear import use_fast_linear
from nsmc_lightning.model.fast.probe import Probe, probe

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def use_fast_paths(encoder: PreTrainedModel) -> Probe:
    """Give an encoder faster dropouts, linear layers and attention, and probe which layouts of texts it supports.

    The names of its weights stay. An encoder with which our attention is not exact keeps that of torch. Until
    :func:`~nsmc_lightning.model.fast.kernels.use_kernels` says otherwise, it computes with torch's own kernels. Warn if
    its states depend on padding.

    Raises:
        UserError: the encoder fails on texts of a few tokens, or of different lengths.
    """
    use_fast_dropout(encoder)
    use_fast_linear(encoder)
    use_kernels(encoder, OURS)
    takes_ours = attention_of(encoder) in ("sdpa", SHORT_TEXTS)
    found = _with_fast_attention(encoder) if takes_ours else probe(encoder)
    use_kernels(encoder, Kernels())
    if not found.pads:
        warn(
            f"{encoder.config.model_type} encoders do not ignore padding: their prediction for a text depends on the "
            "other texts of its batch"
        )
    return found


def _with_fast_attention(encoder: PreTrainedModel) -> Probe:
    register()
    encoder.set_attn_implementation(SHORT_TEXTS)
    with suppress(UserError):  # it may fail with ours and not with torch's
        found = probe(encoder)
        if found.pads and found.packs:
            return found
    encoder.set_attn_implementation("sdpa")
    return probe(encoder)
