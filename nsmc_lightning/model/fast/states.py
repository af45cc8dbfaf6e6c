"""An encoder's hidden states for texts that are padded, one a row, or packed end to end in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nsmc_lightning.model.families import (
    BERT_LAYERS,
    MASKED_IN_PARTS,
    PADDED_POSITIONS,
    attention_window,
    first_position,
)
from nsmc_lightning.model.fast.attention import ShortTexts, attention_of, register, short_texts, uses_short_texts

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
    if packed:
        on_cpu = attention_mask.device.type == "cpu"
        return packed_states(encoder, input_ids, attention_mask, position_ids, added=on_cpu, ours=on_cpu)
    optional: dict[str, Any] = {**_texts(encoder, attention_mask, position_ids, packed=False)}
    if (positions := _explicit_positions(encoder, position_ids, packed=False)) is not None:
        optional["position_ids"] = positions
    return encoder(input_ids=input_ids, attention_mask=attention_mask.clamp(max=1), **optional).last_hidden_state


def packed_states(
    encoder: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, added: bool, ours: bool
) -> Tensor:
    """Compute the last layer's states of packed texts in one of the ways that the device and the kernels choose from.

    Args:
        encoder: its family decides how it is given the mask.
        input_ids: as for :func:`token_states`, and the next two.
        attention_mask: texts by number.
        position_ids: from 0 in each text.
        added: mask that is added to the scores, as on a CPU, or a boolean one.
        ours: our attention, where the kernels allow it.
    """
    positions = _explicit_positions(encoder, position_ids, packed=True)
    if encoder.config.model_type in MASKED_IN_PARTS:
        parts: Any = encoder
        hidden = parts.embeddings(input_ids=input_ids, position_ids=positions, mask=attention_mask > 0)
        return parts.encoder(hidden, same_text(attention_mask, added=False)[:, 0]).last_hidden_state
    masks = _packed_masks(encoder, attention_mask, added)
    texts = _texts(encoder, attention_mask, position_ids, packed=True) if ours else {}
    return encoder(input_ids=input_ids, attention_mask=masks, position_ids=positions, **texts).last_hidden_state


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
    mask: Any = attention_mask[:, None, None, :].bool()
    if packed:
        mask = _packed_masks(encoder, attention_mask, added=attention_mask.device.type == "cpu")
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


def same_text(attention_mask: Tensor, added: bool, window: int | None = None) -> Tensor:
    """Return a mask that lets tokens attend to their own text only, and padding to padding.

    *Shape:* ``attention_mask`` int64 (R, W), texts by number; result (R, 1, W, W): bool, or if it is ``added`` to the
    scores float32, 0 where a token may attend and -inf elsewhere. With a ``window``, tokens attend to those at most so
    many slots away.
    """
    same = (attention_mask[:, :, None] == attention_mask[:, None, :])[:, None]
    if window is not None:
        slots = torch.arange(same.shape[-1], device=same.device)
        same = same & ((slots[:, None] - slots).abs() <= window)
    if not added:
        return same
    return torch.zeros(same.shape, dtype=torch.float32, device=same.device).masked_fill_(~same, -torch.inf)


def has_known_layers(encoder: PreTrainedModel) -> bool:
    """Whether the encoder has the layers of a BERT, and they take the masks of torch's attention."""
    return encoder.config.model_type in BERT_LAYERS and attention_of(encoder) != "eager"


def _packed_masks(encoder: PreTrainedModel, attention_mask: Tensor, added: bool) -> Tensor | dict[str, Tensor]:
    """Return the mask of packed texts that the encoder's layers take, or one for each kind of layer."""
    # On a CPU every layer would convert a boolean mask to numbers again; a family's own attention takes numbers only.
    added = added or attention_of(encoder) == "eager"
    window = attention_window(encoder.config)
    full = _in_dtype(encoder, same_text(attention_mask, added))
    if window is None:
        return full
    return {
        "full_attention": full,
        "sliding_attention": _in_dtype(encoder, same_text(attention_mask, added, window)),
    }


def _in_dtype(encoder: PreTrainedModel, mask: Tensor) -> Tensor:
    return mask.to(encoder.dtype) if mask.is_floating_point() else mask


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
    if (window := attention_window(encoder.config)) is not None:
        longest = min(longest, window + 1)  # ours has no window
    texts = short_texts(attention_mask, position_ids, encoder.config.num_attention_heads, longest)
    return {} if texts is None else {"texts": texts}


def _layers(encoder: PreTrainedModel) -> Any:
    return getattr(getattr(encoder, "encoder", None), "layer", None)


def _at(hidden: Tensor, first_tokens: Tensor) -> Tensor:
    """*Shape:* ``hidden`` (R, W, H), ``first_tokens`` (B,); result (B, H)."""
    return hidden.flatten(0, 1)[first_tokens]
