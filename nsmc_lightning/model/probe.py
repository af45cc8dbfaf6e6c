"""What an encoder makes of texts that are packed or padded, tried on three short ones before it is relied on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nsmc_lightning.model.backbone import encoder_limits
from nsmc_lightning.model.hidden import first_token_states, has_known_layers, may_be_packed, token_states

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LENGTHS = (3, 5, 4)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Probe:
    """What was found, each compared with the states that the texts get one at a time.

    Args:
        pads: padded texts get these states. Of some families they do not: their convolutions or Fourier transforms
            go over the padding too, and a prediction depends on what it shares a batch with.
        packs: packed texts do. A family, a version of transformers or an attention implementation that left the mask
            or the positions out would compute something else without a word.
        layer_by_layer: :func:`~nsmc_lightning.model.hidden.first_token_states` gets them layer by layer too.
    """

    pads: bool
    packs: bool
    layer_by_layer: bool


def probe(encoder: PreTrainedModel) -> Probe:
    """Tries an encoder, and warns where padding shows; neither its state nor the random one is changed."""
    max_length = encoder_limits(encoder.config).max_length
    if max_length is not None and max_length < max(_LENGTHS):
        return Probe(pads=True, packs=False, layer_by_layer=False)  # too short to try
    training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            found = _probe(encoder)
    finally:
        encoder.train(training)
    if not found.pads:
        _warn(
            f"{encoder.config.model_type} encoders do not leave padding out: what they say of a text depends on the "
            "batch it is in"
        )
    return found


def _probe(encoder: PreTrainedModel) -> Probe:
    texts = _texts(encoder)
    alone = [token_states(encoder, text[None], torch.ones_like(text[None]), None)[0] for text in texts]
    padded, mask = _padded(texts, encoder.config.pad_token_id or 0)
    states = token_states(encoder, padded, mask, None)
    pads = _close(torch.cat([row[:n] for row, n in zip(states, _LENGTHS, strict=True)]), torch.cat(alone))
    first = torch.stack([states[0] for states in alone])
    by_layer = has_known_layers(encoder) and _close(
        first_token_states(encoder, padded, mask, None, None, layer_by_layer=True), first
    )
    if not may_be_packed(encoder):
        return Probe(pads, False, by_layer)
    row, numbers, positions, starts = _packed(texts)
    packs = _close(token_states(encoder, row, numbers, positions)[0, : sum(_LENGTHS)], torch.cat(alone))
    if packs and by_layer:
        by_layer = _close(first_token_states(encoder, row, numbers, positions, starts, layer_by_layer=True), first)
    return Probe(pads, packs, by_layer)


def _texts(encoder: PreTrainedModel) -> list[Tensor]:
    """Token ids that differ, as far as the vocabulary goes, none of them padding: int64 (T,) each."""
    ids = [i for i in range(encoder.config.vocab_size) if i != encoder.config.pad_token_id]
    return [torch.tensor([ids[(7 * i + n) % len(ids)] for i in range(n)]) for n in _LENGTHS]


def _padded(texts: list[Tensor], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask, int64 (3, 5)."""
    mask = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    return pad_sequence(texts, batch_first=True, padding_value=pad_token_id), mask


def _packed(texts: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Token ids, numbers of texts and positions, int64 (1, 14), and the first tokens (3,): two slots are empty."""
    empty = torch.zeros(2, dtype=torch.int64)
    row = torch.cat([*texts, empty])[None]
    numbers = torch.cat([*(torch.full_like(text, i) for i, text in enumerate(texts, start=1)), empty])[None]
    positions = torch.cat([*(torch.arange(len(text)) for text in texts), empty])[None]
    starts = torch.tensor([0, *_LENGTHS[:-1]]).cumsum(0)
    return row, numbers, positions, starts


def _close(states: Tensor, expected: Tensor) -> bool:
    return torch.allclose(states, expected, atol=1e-4 * max(1.0, float(expected.abs().max())))


@rank_zero_only
def _warn(line: str) -> None:
    _log.warning(line)
