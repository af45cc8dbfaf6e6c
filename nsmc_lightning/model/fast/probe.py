"""A trial of an encoder on a few texts: which layouts of a batch give the states that each text gets alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nsmc_lightning.errors import UserError, reason
from nsmc_lightning.model.families import PADDED_POSITIONS, TESTED_FAMILIES, encoder_limits, first_position
from nsmc_lightning.model.fast.attention import attention_of, uses_short_texts
from nsmc_lightning.model.fast.states import first_token_states, has_known_layers, packed_states, token_states

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_LENGTHS = (3, 5, 4)
# Keys of a configuration that treat tokens so far apart, or more, in another way: attention windows, position buckets.
_REACH = re.compile(r"window|bucket|distance|local_attention|relative_positions")
_LONGEST = 600  # tokens; longer trials would take seconds

_Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
"""Fields of a Batch: input_ids, attention_mask, position_ids, first_tokens."""


@dataclass(frozen=True)
class Probe:
    """What a probe found; each field compares states with those of the texts one at a time.

    Args:
        pads: padded texts have these states. In some families they do not: convolutions or Fourier transforms mix in
            the padding, and a prediction depends on the other texts of its batch.
        packs: packed texts have these states. A family, transformers version or attention implementation that ignored
            the mask, a window or the positions would compute other states without an error.
        layer_by_layer: so do first tokens that :func:`~nsmc_lightning.model.fast.states.first_token_states` computes
            layer by layer.
    """

    pads: bool
    packs: bool
    layer_by_layer: bool


def probe(encoder: PreTrainedModel) -> Probe:
    """Try an encoder; its mode and torch's random state stay as they are.

    Raises:
        UserError: the encoder fails on texts of a few tokens, or of different lengths.
    """
    training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            return _probe(encoder)
    finally:
        encoder.train(training)


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
    texts = _texts(encoder, _LENGTHS)
    padded, packed = padded_inputs(texts, _padding(encoder)), _packed_inputs(texts, _padding(encoder))
    try:
        alone = [_states_alone(encoder, text) for text in texts]
        states = token_states(encoder, *padded[:3], packed=False)
    except Exception as error:  # each family's code raises errors of its own
        raise UserError(
            f"--model.backbone: this {encoder.config.model_type} encoder fails on texts of {min(_LENGTHS)} to "
            f"{max(_LENGTHS)} tokens ({reason(error)}); change its configuration, or use another."
        ) from error
    packs = _succeeds(lambda: _packs(encoder, packed, torch.cat(alone)) and _packs_long_texts(encoder))
    layouts = [(padded, False), (packed, True)] if packs else [(padded, False)]
    first = torch.stack([states[0] for states in alone])
    return Probe(
        pads=_close(states[padded[1] > 0], torch.cat(alone)),
        packs=packs,
        layer_by_layer=has_known_layers(encoder)
        and _succeeds(
            lambda: all(
                _close(first_token_states(encoder, *inputs, kind, layer_by_layer=True), first)
                for inputs, kind in layouts
            )
        ),
    )


def _succeeds(trial: Callable[[], bool]) -> bool:
    """Return a trial's outcome, False if it fails: each family's code raises errors of its own."""
    try:
        return trial()
    except Exception:
        return False


def _states_alone(encoder: PreTrainedModel, text: Tensor) -> Tensor:
    """Compute a text's states as transformers does, by its own attention: *Shape:* (T,), result (T, H)."""
    positions = {}
    if encoder.config.model_type in PADDED_POSITIONS:
        positions["position_ids"] = torch.arange(len(text))[None] + first_position(encoder.config)
    return encoder(input_ids=text[None], attention_mask=torch.ones_like(text[None]), **positions).last_hidden_state[0]


def _packs(encoder: PreTrainedModel, packed: _Inputs, expected: Tensor) -> bool:
    """Whether packed texts get the expected states with each mask and attention that training may compute them by."""
    full = packed[1] > 0
    return all(
        _close(packed_states(encoder, *packed[:3], added, ours)[full], expected) for added, ours in _ways(encoder)
    )


def _ways(encoder: PreTrainedModel) -> list[tuple[bool, bool]]:
    """Return the values of ``added`` and ``ours`` that make a difference to ``packed_states``."""
    if attention_of(encoder) == "eager":
        return [(True, False)]
    ways = [(True, False), (False, False)]
    return [(True, True), *ways] if uses_short_texts(encoder) else ways


def _packs_long_texts(encoder: PreTrainedModel) -> bool:
    """Whether a text that reaches beyond the family's windows and buckets gets the states that it gets alone.

    An encoder of another family than :data:`TESTED_FAMILIES` is tried with a text as long as it takes, in a row wider
    than its position table, and its gradients are compared too. Its weights may be new and so small that a wrong layout
    would hardly change the states: those of a copy are made larger.
    """
    config = encoder.config
    longest, reach = encoder_limits(config).max_length, _reach(config)
    if config.model_type in TESTED_FAMILIES:
        length = min(reach + 2, longest or _LONGEST, _LONGEST)
        return length <= max(_LENGTHS) or _packs_exactly(encoder, length, gradients=False)
    if (longest or reach) > _LONGEST:
        return False
    return _packs_exactly(_with_large_weights(encoder), longest or _LONGEST, gradients=True)


def _packs_exactly(encoder: PreTrainedModel, length: int, gradients: bool) -> bool:
    """Whether a text of ``length`` tokens, packed between two short ones, gets the states and gradients of it alone."""
    texts = _texts(encoder, (_LENGTHS[0], length, _LENGTHS[-1]))
    packed = _packed_inputs(texts, _padding(encoder))
    with torch.set_grad_enabled(gradients):
        expected = torch.cat([_states_alone(encoder, text) for text in texts])
        same = not gradients or _same_gradients(encoder, packed, expected)
    return same and _packs(encoder, packed, expected)


def _same_gradients(encoder: PreTrainedModel, packed: _Inputs, expected: Tensor) -> bool:
    """Whether a loss on the states of packed texts has the gradients of that loss on the expected states."""
    states = token_states(encoder, *packed[:3], packed=True)[packed[1] > 0]
    weights = [weight for weight in encoder.parameters() if weight.requires_grad]
    of_states = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    found, right = (
        torch.autograd.grad(result, weights, of_states, allow_unused=True, materialize_grads=True)
        for result in (states, expected)
    )
    noise = 1e-6 * max(float(gradient.norm()) for gradient in right)  # some gradients are 0 but for rounding
    return all(
        float((ours - theirs).norm()) <= 1e-3 * float(theirs.norm()) + noise
        for ours, theirs in zip(found, right, strict=True)
    )


def _with_large_weights(encoder: PreTrainedModel) -> PreTrainedModel:
    """Copy an encoder, and add random numbers to its matrices, with which a product is as large as its input."""
    copy = deepcopy(encoder)
    generator = torch.Generator().manual_seed(0)
    for weight in copy.parameters():
        if weight.requires_grad and weight.ndim > 1:
            weight.add_(torch.randn(weight.shape, generator=generator) * weight[0].numel() ** -0.5)
    return copy


def _reach(config: PretrainedConfig) -> int:
    """Return the largest window or range of distances that a configuration names, in tokens."""
    named = [value for name, value in config.to_dict().items() if _REACH.search(name)]
    numbers = [number for value in named for number in (value if isinstance(value, list) else [value])]
    return max([number for number in numbers if type(number) is int], default=0)


def _texts(encoder: PreTrainedModel, lengths: tuple[int, ...]) -> list[Tensor]:
    """Return texts of special tokens, padding included, and of others, int64 (T,) each, as distinct as possible.

    Training may meet any of them: tokenizer and configuration may disagree on the meaning of an id.
    """
    config = encoder.config
    named = {name: id for name, id in config.to_dict().items() if name.endswith("_token_id")}
    special = [id for id in named.values() if isinstance(id, int) and 0 <= id < config.vocab_size]
    ids = cycle(dict.fromkeys([*special, *range(min(config.vocab_size, sum(lengths)))]))
    return [torch.tensor(list(islice(ids, n))) for n in lengths]


def _padding(encoder: PreTrainedModel) -> int:
    """Return an id for empty slots, not the configuration's own, whose new embedding is zero and would hide leaks."""
    return encoder.config.vocab_size - 1


def _close(states: Tensor, expected: Tensor) -> bool:
    return torch.allclose(states, expected, atol=1e-4 * float(expected.abs().max()))
