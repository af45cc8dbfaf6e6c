"""An encoder's hidden states for texts that are padded, one a row, or packed end to end in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nsmc_lightning.model.families import FULL_ATTENTION, PADDED_POSITIONS, first_position
from nsmc_lightning.model.fast.attention import ShortTexts, register, short_texts, uses_short_texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def token_states(
    encoder: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, packed: bool
) -> Tensor:
    """Compute the last layer's states of all tokens.

    Token types are left to the encoder: a single sentence has type 0 throughout, every encoder's default.

    *Shape:* ``input_ids``, ``attention_mask`` and ``position_ids`` int64 (R, W), as in
    :class:`~nsmc_lightning.types.Batch`; result (R, W, H).
    """
    mask = _packed_mask(attention_mask) if packed else attention_mask.clamp(max=1)
    optional: dict[str, Any] = {**_texts(encoder, attention_mask, position_ids, packed)}
    if (positions := _explicit_positions(encoder, position_ids, packed)) is not None:
        optional["position_ids"] = positions
    return encoder(input_ids=input_ids, attention_mask=mask, **optional).last_hidden_state


def first_token_states(
    encoder: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor,
    first_tokens: Tensor,
    packed: bool,
    layer_by_layer: bool,
) -> Tensor:
    """Compute the last layer's states of each text's first token.

    *Shape:* as for :func:`token_states`; ``first_tokens`` int64 (B,), places among the R · W slots; result (B, H).
    """
    if not layer_by_layer:
        return _at(token_states(encoder, input_ids, attention_mask, position_ids, packed), first_tokens)
    parts: Any = encoder
    mask = _packed_mask(attention_mask) if packed else attention_mask[:, None, None, :].bool()
    hidden = parts.embeddings(input_ids=input_ids, position_ids=_explicit_positions(encoder, position_ids, packed))
    if hasattr(encoder, "embeddings_project"):  # ELECTRA's embeddings may be narrower than its layers
        hidden = parts.embeddings_project(hidden)
    layers, texts = _layers(encoder), _texts(encoder, attention_mask, position_ids, packed)
    for layer in layers[:-1]:
        hidden = layer(hidden, mask, **texts)
    return _last_layer(layers[-1], hidden, mask, texts, first_tokens)


def _last_layer(layer: Any, hidden: Tensor, mask: Tensor, texts: dict[str, ShortTexts], first_tokens: Tensor) -> Tensor:
    """Compute a layer at first tokens only, except for its attention, which needs all tokens.

    What follows the attention (output projection, norms, feed-forward) treats each token by itself, so the result is
    exact. At 12 layers this saves a sixteenth of all multiplications.

    *Shape:* ``hidden`` (R, W, H), ``mask`` as the layer takes it, ``first_tokens`` (B,); result (B, H).
    """
    attended, _ = layer.attention.self(hidden, mask, **texts)
    states = layer.attention.output(_at(attended, first_tokens), _at(hidden, first_tokens))
    return layer.feed_forward_chunk(states)


def same_text(attention_mask: Tensor, added: bool) -> Tensor:
    """Return a mask that lets tokens attend to their own text only, and padding to padding.

    *Shape:* ``attention_mask`` int64 (R, W), texts by number; result (R, 1, W, W): bool, or if it is ``added`` to the
    scores float32, 0 where a token may attend and -inf elsewhere.
    """
    same = (attention_mask[:, :, None] == attention_mask[:, None, :])[:, None]
    if not added:
        return same
    return torch.zeros(same.shape, dtype=torch.float32, device=same.device).masked_fill_(~same, -torch.inf)


def may_be_packed(encoder: PreTrainedModel) -> bool:
    """Whether the encoder's family attends to all that a mask allows."""
    return encoder.config.model_type in FULL_ATTENTION


def has_known_layers(encoder: PreTrainedModel) -> bool:
    """Whether the encoder's layers have the parts of a BERT, RoBERTa or ELECTRA, which share their names."""
    return may_be_packed(encoder) and isinstance(_layers(encoder), nn.ModuleList)


def _packed_mask(attention_mask: Tensor) -> Tensor:
    # On a CPU every layer would convert a boolean mask to numbers again.
    return same_text(attention_mask, added=attention_mask.device.type == "cpu")


def _explicit_positions(encoder: PreTrainedModel, position_ids: Tensor, packed: bool) -> Tensor | None:
    """Return positions in the encoder's table, or None if its own counting of slots is right for padded texts."""
    if packed or encoder.config.model_type in PADDED_POSITIONS:
        return position_ids + first_position(encoder.config)
    return None


def _texts(
    encoder: PreTrainedModel, attention_mask: Tensor, position_ids: Tensor, packed: bool
) -> dict[str, ShortTexts]:
    """Return the keyword argument of our attention, which encoders hand down to it; empty to use torch's.

    The encoder's kernels decide: see :func:`~nsmc_lightning.model.fast.kernels.choose_kernels`.
    """
    if not uses_short_texts(encoder) or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return {}
    register()  # a spawned process receives the encoder, but not what is registered
    kernels: Any = encoder.kernels
    longest = kernels.packed if packed else kernels.padded if torch.is_grad_enabled() else kernels.evaluation
    if longest == 0 or attention_mask.device.type != "cpu":
        return {}
    texts = short_texts(attention_mask, position_ids, encoder.config.num_attention_heads, longest)
    return {} if texts is None else {"texts": texts}


def _layers(encoder: PreTrainedModel) -> Any:
    return getattr(getattr(encoder, "encoder", None), "layer", None)


def _at(hidden: Tensor, first_tokens: Tensor) -> Tensor:
    """*Shape:* ``hidden`` (R, W, H), ``first_tokens`` (B,); result (B, H)."""
    return hidden.flatten(0, 1)[first_tokens]
