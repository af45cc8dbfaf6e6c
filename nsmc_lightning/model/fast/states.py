"""An encoder's hidden states for texts that lie one to a row, or packed end to end in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# Families whose attention is over everything the mask allows: a window of their own would be lost with our mask.
FULL_ATTENTION = frozenset({"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"})
# Their position table starts with rows for padding: the first token has position pad_token_id + 1. Left to themselves
# they count ids that are not pad_token_id, which a text may hold where the tokenizer pads with another.
PADDED_POSITIONS = frozenset(
    {"camembert", "data2vec-text", "esm", "ibert", "longformer", "luke", "mpnet", "roberta",
     "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"}
)  # fmt: skip
_MPNET_FIRST_POSITION = 2  # whatever its configuration says of padding


def token_states(
    encoder: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, packed: bool
) -> Tensor:
    """The last layer's states of every token.

    Token types are not passed: a single sentence is all of type 0, which is every encoder's default.

    *Shape:* ``input_ids``, ``attention_mask`` and ``position_ids`` int64 (R, W), as in
    :class:`~nsmc_lightning.types.Batch`; result (R, W, H).
    """
    mask = _mask_of_packed(attention_mask) if packed else attention_mask.clamp(max=1)
    positions = _explicit_positions(encoder, position_ids, packed)
    if positions is None:
        return encoder(input_ids=input_ids, attention_mask=mask).last_hidden_state
    return encoder(input_ids=input_ids, attention_mask=mask, position_ids=positions).last_hidden_state


def first_token_states(
    encoder: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor,
    first_tokens: Tensor,
    packed: bool,
    layer_by_layer: bool,
) -> Tensor:
    """The last layer's states of each text's first token.

    Layer by layer, nothing of the last one is computed for the other tokens but its attention. What follows that
    (output projection, norms, feed-forward) goes token by token, so their share cannot reach the result: at 12 layers
    that is a sixteenth of all multiplications.

    *Shape:* as for :func:`token_states`; ``first_tokens`` int64 (B,), places among the R · W slots; result (B, H).
    """
    if not layer_by_layer:
        return _at(token_states(encoder, input_ids, attention_mask, position_ids, packed), first_tokens)
    layers = _layers(encoder)
    parts: Any = encoder
    mask = _mask_of_packed(attention_mask) if packed else attention_mask[:, None, None, :].bool()
    hidden = parts.embeddings(input_ids=input_ids, position_ids=_explicit_positions(encoder, position_ids, packed))
    if hasattr(encoder, "embeddings_project"):  # ELECTRA's embeddings may be narrower than its layers
        hidden = parts.embeddings_project(hidden)
    for layer in layers[:-1]:
        hidden = layer(hidden, mask)
    last = layers[-1]
    attended, _ = last.attention.self(hidden, mask)
    states = last.attention.output(_at(attended, first_tokens), _at(hidden, first_tokens))
    return last.feed_forward_chunk(states)


def same_text(attention_mask: Tensor, added: bool) -> Tensor:
    """Which token may look at which: those of its own text. Padding looks at padding, and nothing else at it.

    *Shape:* ``attention_mask`` int64 (R, W), texts by number; result (R, 1, W, W): bool, or where it is ``added`` to
    the scores float32, 0 where a token may look and -inf elsewhere.
    """
    same = (attention_mask[:, :, None] == attention_mask[:, None, :])[:, None]
    if not added:
        return same
    return torch.zeros(same.shape, dtype=torch.float32, device=same.device).masked_fill_(~same, -torch.inf)


def may_be_packed(encoder: PreTrainedModel) -> bool:
    """Whether the encoder's family attends to everything that a mask allows, by code that takes either kind of mask.

    Of transformers' implementations sdpa does; eager would add True and False to the scores as numbers.
    """
    return encoder.config.model_type in FULL_ATTENTION and encoder.config._attn_implementation == "sdpa"


def first_position(config: PretrainedConfig) -> int:
    """Position of a text's first token in the encoder's table."""
    if config.model_type == "mpnet":
        return _MPNET_FIRST_POSITION
    return int(config.pad_token_id) + 1 if config.model_type in PADDED_POSITIONS else 0


def has_known_layers(encoder: PreTrainedModel) -> bool:
    """Whether its layers are those of a BERT, RoBERTa or ELECTRA, whose parts have the same names."""
    return may_be_packed(encoder) and isinstance(_layers(encoder), nn.ModuleList)


def _mask_of_packed(attention_mask: Tensor) -> Tensor:
    # On a CPU each layer would make numbers of a boolean mask, again and again.
    return same_text(attention_mask, added=attention_mask.device.type == "cpu")


def _explicit_positions(encoder: PreTrainedModel, position_ids: Tensor, packed: bool) -> Tensor | None:
    """Positions in the encoder's table; None where it counts them by itself, slot by slot, as padded texts need it."""
    if packed or encoder.config.model_type in PADDED_POSITIONS:
        return position_ids + first_position(encoder.config)
    return None


def _layers(encoder: PreTrainedModel) -> Any:
    return getattr(getattr(encoder, "encoder", None), "layer", None)


def _at(hidden: Tensor, first_tokens: Tensor) -> Tensor:
    """*Shape:* ``hidden`` (R, W, H), ``first_tokens`` (B,); result (B, H)."""
    return hidden.flatten(0, 1)[first_tokens]
