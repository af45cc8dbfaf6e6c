"""A family's classification head, filled so that it computes dropout and a single linear layer.

Most families have a dense layer and an activation before the last layer. Where the activation lets it, the dense layer
is made to pass its input x on:

* ReLU and GELU return x + b unchanged where it is large enough. The last layer subtracts b again.
* tanh returns x / s unchanged, up to the rounding of float32, where it is small enough. The last layer multiplies by s.

Both need a bound on x. The encoder's last norm gives it: no element of a normalised vector of width H is above √H.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from nsmc_lightning.model.family_head import FamilyHead
from nsmc_lightning.model.head import through_pooler
from nsmc_lightning.model.network import SequenceClassifier

_GELU_TAIL = 6.0  # above it, GELU(x) is x in float32
_TANH_RANGE = 2.0**-12  # below it, tanh(x) is x in float32: they differ by a share of x² / 3
_TOLERANCE = 2e-5  # of logits, a share of the largest: their sums are rounded in another order
_TRIED = 64  # vectors

_Layer = tuple[Tensor, Tensor]
"""Weight (outputs, inputs) and bias (outputs,)."""


class _Filling(NamedTuple):
    """Values for the last layer, and for the dense layer before it, if there is one."""

    last: _Layer
    dense: _Layer | None = None
    passes_on: bool = False


def fill(encoder: PreTrainedModel, head: FamilyHead, network: SequenceClassifier, pooling: str) -> bool | None:
    """Fill a family's head so that it gives the logits of a network, of a sigmoid's z the logits (0, z).

    Args:
        encoder: the family's, whose pooler may be a part of the head; in evaluation mode, like the others.
        head: the family's; what it computes is found by trial.
        network: its head is a :class:`~nsmc_lightning.model.head.ClassifierHead`.
        pooling: the network's.

    Returns:
        Whether the dense layer passes its input on; None if no way is found.
    """
    *dense, last = _layers(encoder, head)
    norm = _last_norm(network.encoder)
    if (pooling == "mean") != (head.pooling == "mean") or len(dense) > 1:
        return None
    states = _states(norm, encoder.config.hidden_size)
    expected = _of_classes(network.head(_vectors(network.encoder, states, pooling)))
    tolerance = _TOLERANCE * max(1.0, float(expected.abs().max()))
    for filling in _fillings(network, pooling, norm, has_dense=bool(dense)):
        _copy(filling.last, last)
        if filling.dense is not None:
            _copy(filling.dense, dense[0])
        found = head(_vectors(encoder, states, head.pooling))
        if torch.allclose(found, expected, rtol=0, atol=tolerance):
            return filling.passes_on
    return None


def _layers(encoder: Any, head: FamilyHead) -> list[nn.Linear]:
    """Return the linear layers behind a text's state, in their order."""
    parts = [encoder.pooler, head] if head.pooling == "pooler" else [head]
    return [module for part in parts for module in part.modules() if isinstance(module, nn.Linear)]


def _fillings(network: SequenceClassifier, pooling: str, norm: nn.Module | None, has_dense: bool) -> Iterator[_Filling]:
    layer: Any = network.head.linear
    weight, bias = F.pad(layer.weight, (0, 0, 1, 0)), F.pad(layer.bias, (1, 0))
    if layer.out_features > 1:
        weight, bias = layer.weight, layer.bias
    if pooling == "pooler":
        encoder: Any = network.encoder
        pooler = next(module for module in encoder.pooler.modules() if isinstance(module, nn.Linear))
        yield _Filling((weight, bias), (pooler.weight, pooler.bias) if has_dense else None)
    elif not has_dense:
        yield _Filling((weight, bias))
    elif norm is not None:
        bound = _bound(norm, layer.in_features)
        same, shift = torch.eye(layer.in_features), bound + _GELU_TAIL
        yield _Filling((weight, bias - weight @ shift), (same, shift), passes_on=True)
        scale = 2.0 ** math.floor(math.log2(_TANH_RANGE / float(bound.max())))  # a power of two rounds nothing
        yield _Filling((weight / scale, bias), (same * scale, torch.zeros_like(bound)), passes_on=True)


def _copy(values: _Layer, layer: nn.Linear) -> None:
    layer.weight.copy_(values[0])
    if layer.bias is not None:  # without one, the trial shows whether it is missed
        layer.bias.copy_(values[1])


def _vectors(encoder: PreTrainedModel, states: Tensor, pooling: str) -> Tensor:
    return through_pooler(encoder, states) if pooling == "pooler" else states


def _of_classes(logits: Tensor) -> Tensor:
    """*Shape:* ``logits`` (B, C); result (B, C), or (B, 2) for C = 1."""
    return F.pad(logits, (1, 0)) if logits.shape[1] == 1 else logits


# The encoder's last norm


def _last_norm(encoder: PreTrainedModel) -> nn.Module | None:
    """Return the norm whose result is the encoder's, or None."""
    results: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda module, _, result: results.append((module, result)))
        for module in encoder.modules()
        if type(module).__name__.endswith(("LayerNorm", "RMSNorm"))  # DeBERTa's and EuroBERT's are their own
    ]
    try:
        ids = torch.arange(5)[None] % encoder.config.vocab_size
        states = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    return next((module for module, result in reversed(results) if torch.equal(result, states)), None)


def _bound(norm: Any, width: int) -> Tensor:
    """Return the largest absolute value of each element of a norm's results: (H,)."""
    bound = torch.full((width,), math.sqrt(width))
    bound = bound if norm.weight is None else bound * norm.weight.abs()
    shift = getattr(norm, "bias", None)  # an RMS norm has none
    return bound if shift is None else bound + shift.abs()


def _states(norm: nn.Module | None, width: int) -> Tensor:
    """Return states such as the encoder may give, those at the bound among them: (B, H)."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(_TRIED, width, generator=generator)
    if norm is None:
        return states
    spikes = 1e4 * torch.eye(width)[:_TRIED]
    return norm(torch.cat([states, spikes, -spikes]))
