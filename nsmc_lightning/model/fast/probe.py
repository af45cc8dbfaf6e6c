"""What an encoder makes of texts that are packed or padded, tried on three short ones before it is relied on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.backbone import encoder_limits, reason
from nsmc_lightning.model.fast.states import (
    first_position,
    first_token_states,
    has_known_layers,
    may_be_packed,
    same_text,
    token_states,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LENGTHS = (3, 5, 4)

_log = logging.getLogger(__name__)

_Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of a Batch: input_ids, attention_mask, position_ids, first_tokens."""


@dataclass(frozen=True)
class Probe:
    """What was found, each compared with the states that the texts get one at a time.

    Args:
        pads: padded texts get these states. Of some families they do not: their convolutions or Fourier transforms
            go over the padding too, and a prediction depends on what it shares a batch with.
        packs: packed texts do. A family, a version of transformers or an attention implementation that left the mask
            or the positions out would compute something else without a word.
        layer_by_layer: :func:`~nsmc_lightning.model.fast.states.first_token_states` gets them layer by layer too.
    """

    pads: bool
    packs: bool
    layer_by_layer: bool


def probe(encoder: PreTrainedModel) -> Probe:
    """Tries an encoder, and warns where padding shows; neither its state nor the random one is changed.

    Raises:
        UserError: the encoder fails on texts of a few tokens, or of different lengths.
    """
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


def padded_inputs(texts: list[Tensor], pad_token_id: int) -> _Inputs:
    """Texts one to a row, as the first arguments of a module's ``forward``.

    *Shape:* ``texts`` int64 (T,) each; result as in :class:`~nsmc_lightning.types.Batch`.
    """
    ids = pad_sequence(texts, batch_first=True, padding_value=pad_token_id)
    numbers = [torch.full_like(text, number) for number, text in enumerate(texts, start=1)]
    positions = [torch.arange(len(text)) for text in texts]
    first_tokens = torch.arange(len(texts)) * ids.shape[1]
    return ids, pad_sequence(numbers, batch_first=True), pad_sequence(positions, batch_first=True), first_tokens


def _packed_inputs(texts: list[Tensor], pad_token_id: int) -> _Inputs:
    """Texts end to end in one row, behind them two empty slots."""
    ids, numbers, positions, _ = padded_inputs(texts, pad_token_id)
    full = numbers > 0
    starts = torch.tensor([0, *(len(text) for text in texts[:-1])]).cumsum(0)
    row = torch.cat([ids[full], torch.full((2,), pad_token_id)])
    return row[None], _with_empty(numbers[full]), _with_empty(positions[full]), starts


def _with_empty(values: Tensor) -> Tensor:
    return torch.cat([values, values.new_zeros(2)])[None]


def _probe(encoder: PreTrainedModel) -> Probe:
    texts = _texts(encoder)
    pad_token_id = encoder.config.pad_token_id or 0
    padded = padded_inputs(texts, pad_token_id)
    ids, numbers, positions, _ = padded
    try:
        alone = [token_states(encoder, *padded_inputs([text], pad_token_id)[:3], packed=False)[0] for text in texts]
        states = token_states(encoder, ids, numbers, positions, packed=False)
    except Exception as error:  # each family's code has errors of its own
        raise UserError(
            f"--model.backbone: this {encoder.config.model_type} encoder does not take texts of {min(_LENGTHS)} to "
            f"{max(_LENGTHS)} tokens, as it is configured ({reason(error)})."
        ) from error
    pads = _close(states[numbers > 0], torch.cat(alone))
    first = torch.stack([states[0] for states in alone])
    by_layer = has_known_layers(encoder) and _close(
        first_token_states(encoder, *padded, packed=False, layer_by_layer=True), first
    )
    packed = _packed_inputs(texts, pad_token_id)
    packs = may_be_packed(encoder) and _packs(encoder, packed, torch.cat(alone))
    if packs and by_layer:
        by_layer = _close(first_token_states(encoder, *packed, packed=True, layer_by_layer=True), first)
    return Probe(pads, packs, by_layer)


def _packs(encoder: PreTrainedModel, packed: _Inputs, expected: Tensor) -> bool:
    """Whether packed texts get the expected states by either kind of mask: training may go by the other device's."""
    ids, numbers, positions, _ = packed
    full = numbers > 0
    boolean = encoder(
        input_ids=ids,
        attention_mask=same_text(numbers, added=False),
        position_ids=positions + first_position(encoder.config),
    )
    here = token_states(encoder, ids, numbers, positions, packed=True)
    return _close(here[full], expected) and _close(boolean.last_hidden_state[full], expected)


def _texts(encoder: PreTrainedModel) -> list[Tensor]:
    """Texts of special tokens, the padding's among them, and of others, int64 (T,) each; all differ, if they can.

    Training may meet each of them: a tokenizer need not agree with the configuration on what an id stands for.
    """
    config = encoder.config
    named = {name: id for name, id in config.to_dict().items() if name.endswith("_token_id")}
    special = [id for id in named.values() if isinstance(id, int) and 0 <= id < config.vocab_size]
    ids = cycle(dict.fromkeys([*special, *range(min(config.vocab_size, sum(_LENGTHS)))]))
    return [torch.tensor(list(islice(ids, n))) for n in _LENGTHS]


def _close(states: Tensor, expected: Tensor) -> bool:
    return torch.allclose(states, expected, atol=1e-4 * max(1.0, float(expected.abs().max())))


@rank_zero_only
def _warn(line: str) -> None:
    _log.warning(line)
