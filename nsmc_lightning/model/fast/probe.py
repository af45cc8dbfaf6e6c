"""A trial of an encoder on three short texts: which layouts of a batch give the states that each text gets alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nsmc_lightning.errors import UserError, reason, warn
from nsmc_lightning.model.families import PADDED_POSITIONS, first_position
from nsmc_lightning.model.fast.states import (
    first_token_states,
    has_known_layers,
    may_be_packed,
    same_text,
    token_states,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LENGTHS = (3, 5, 4)

_Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
"""Fields of a Batch: input_ids, attention_mask, position_ids, first_tokens."""


@dataclass(frozen=True)
class Probe:
    """What a probe found; each field compares states with those of the texts one at a time.

    Args:
        pads: padded texts have these states. In some families they do not: convolutions or Fourier transforms mix in
            the padding, and a prediction depends on the other texts of its batch.
        packs: packed texts have these states. A family, transformers version or attention implementation that ignored
            the mask or the positions would compute other states without an error.
        layer_by_layer: so do first tokens that :func:`~nsmc_lightning.model.fast.states.first_token_states` computes
            layer by layer.
    """

    pads: bool
    packs: bool
    layer_by_layer: bool


def probe(encoder: PreTrainedModel) -> Probe:
    """Try an encoder, and warn if its states depend on padding; its mode and torch's random state stay as they are.

    Raises:
        UserError: the encoder fails on texts of a few tokens, or of different lengths.
    """
    training = encoder.training
    encoder.eval()
    with torch.no_grad():
        found = _probe(encoder)
    encoder.train(training)
    if not found.pads:
        warn(
            f"{encoder.config.model_type} encoders do not ignore padding: their prediction for a text depends on the "
            "other texts of its batch"
        )
    return found


def padded_inputs(texts: list[Tensor], pad_token_id: int) -> _Inputs:
    """Pad texts, one a row, and return the first arguments of a module's ``forward``.

    *Shape:* ``texts`` int64 (T,) each; result as in :class:`~nsmc_lightning.types.Batch`.
    """
    ids = pad_sequence(texts, batch_first=True, padding_value=pad_token_id)
    numbers = [torch.full_like(text, number) for number, text in enumerate(texts, start=1)]
    positions = [torch.arange(len(text)) for text in texts]
    first_tokens = torch.arange(len(texts)) * ids.shape[1]
    return ids, pad_sequence(numbers, batch_first=True), pad_sequence(positions, batch_first=True), first_tokens


def _packed_inputs(texts: list[Tensor], pad_token_id: int) -> _Inputs:
    """Pack texts end to end in one row, followed by two empty slots."""
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
    padded, packed = padded_inputs(texts, pad_token_id), _packed_inputs(texts, pad_token_id)
    try:
        alone = [_states_alone(encoder, text) for text in texts]
        states = token_states(encoder, *padded[:3], packed=False)
    except Exception as error:  # each family's code raises errors of its own
        raise UserError(
            f"--model.backbone: this {encoder.config.model_type} encoder fails on texts of {min(_LENGTHS)} to "
            f"{max(_LENGTHS)} tokens ({reason(error)}); change its configuration, or use another."
        ) from error
    packs = may_be_packed(encoder) and _packs(encoder, packed, torch.cat(alone))
    layouts = [(padded, False), (packed, True)] if packs else [(padded, False)]
    first = torch.stack([states[0] for states in alone])
    return Probe(
        pads=_close(states[padded[1] > 0], torch.cat(alone)),
        packs=packs,
        layer_by_layer=has_known_layers(encoder)
        and all(
            _close(first_token_states(encoder, *inputs, kind, layer_by_layer=True), first) for inputs, kind in layouts
        ),
    )


def _states_alone(encoder: PreTrainedModel, text: Tensor) -> Tensor:
    """Compute a text's states as transformers does, by its own attention: *Shape:* (T,), result (T, H)."""
    positions = {}
    if encoder.config.model_type in PADDED_POSITIONS:
        positions["position_ids"] = torch.arange(len(text))[None] + first_position(encoder.config)
    return encoder(input_ids=text[None], attention_mask=torch.ones_like(text[None]), **positions).last_hidden_state[0]


def _packs(encoder: PreTrainedModel, packed: _Inputs, expected: Tensor) -> bool:
    """Whether packed texts get the expected states with both kinds of mask: training may run on another device."""
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
    """Return texts of special tokens, padding included, and of others, int64 (T,) each, as distinct as possible.

    Training may meet any of them: tokenizer and configuration may disagree on the meaning of an id.
    """
    config = encoder.config
    named = {name: id for name, id in config.to_dict().items() if name.endswith("_token_id")}
    special = [id for id in named.values() if isinstance(id, int) and 0 <= id < config.vocab_size]
    ids = cycle(dict.fromkeys([*special, *range(min(config.vocab_size, sum(_LENGTHS)))]))
    return [torch.tensor(list(islice(ids, n))) for n in _LENGTHS]


def _close(states: Tensor, expected: Tensor) -> bool:
    return torch.allclose(states, expected, atol=1e-4 * max(1.0, float(expected.abs().max())))
