"""An encoder's hidden states for texts that lie one to a row, or packed end to end in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Families whose attention is over everything the mask allows: a window of their own would be lost with our mask.
_FULL_ATTENTION = frozenset({"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"})
# Their position table starts with rows for padding: the first token has position pad_token_id + 1.
PADDED_POSITIONS = frozenset(
    {"camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm",
     "xlm-roberta", "xlm-roberta-xl", "xmod"}
)  # fmt: skip


def token_states(
    encoder: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor | None
) -> Tensor:
    """The last layer's states of every token.

    Token types are not passed: a single sentence is all of type 0, which is every encoder's default.

    *Shape:* ``input_ids``, ``attention_mask`` and ``position_ids`` int64 (R, W), as in
    :class:`~nsmc_lightning.types.Batch`; result (R, W, H).
    """
    if position_ids is None:
        return encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    positions = position_ids + _first_position(encoder)
    mask = same_text(attention_mask)
    return encoder(input_ids=input_ids, attention_mask=mask, position_ids=positions).last_hidden_state


def first_token_states(
    encoder: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor | None,
    first_tokens: Tensor | None,
) -> Tensor:
    """The last layer's states of each text's first token, with nothing else of that layer computed but its attention.

    What follows the last attention (output projection, norms, feed-forward) goes token by token, so the other tokens'
    share of it cannot reach the result: at 12 layers that is a sixteenth of all multiplications.

    *Shape:* as for :func:`token_states`; ``first_tokens`` int64 (B,), places among the R · W slots, or None where each
    row holds one text; result (B, H).
    """
    layers = _layers(encoder)
    if layers is None:
        return _at(token_states(encoder, input_ids, attention_mask, position_ids), first_tokens)
    parts: Any = encoder
    if position_ids is None:
        mask = attention_mask[:, None, None, :].bool()
        hidden = parts.embeddings(input_ids=input_ids)
    else:
        mask = same_text(attention_mask)
        hidden = parts.embeddings(input_ids=input_ids, position_ids=position_ids + _first_position(encoder))
    if hasattr(encoder, "embeddings_project"):  # ELECTRA's embeddings may be narrower than its layers
        hidden = parts.embeddings_project(hidden)
    for layer in layers[:-1]:
        hidden = layer(hidden, mask)
    last = layers[-1]
    attended, _ = last.attention.self(hidden, mask)
    states = last.attention.output(_at(attended, first_tokens), _at(hidden, first_tokens))
    return last.feed_forward_chunk(states)


def same_text(attention_mask: Tensor) -> Tensor:
    """Which token may look at which: those of its own text. Padding looks at padding, and nobody at it.

    *Shape:* ``attention_mask`` int64 (R, W), texts by number; result (R, 1, W, W): bool, or on a CPU float32, 0 where a
    token may look and -inf elsewhere, which is what each layer would make of it there, again and again.
    """
    same = (attention_mask[:, :, None] == attention_mask[:, None, :])[:, None]
    if attention_mask.device.type != "cpu":
        return same
    return torch.zeros(same.shape, dtype=torch.float32).masked_fill_(~same, -torch.inf)


def takes_packed_rows(encoder: PreTrainedModel) -> bool:
    """Whether packed texts get the states that each gets alone: tried on three short ones.

    A family, a version of transformers or an attention implementation that leaves the mask or the positions out would
    compute something else without a word.
    """
    config = encoder.config
    if config.model_type not in _FULL_ATTENTION or config.max_position_embeddings < 8:
        return False
    texts = [(torch.arange(n) * 7 + n) % config.vocab_size for n in (3, 5, 4)]
    row = torch.cat([*texts, torch.zeros(2, dtype=torch.int64)])[None]
    numbers = torch.tensor([[1] * 3 + [2] * 5 + [3] * 4 + [0] * 2])
    positions = torch.tensor([[*range(3), *range(5), *range(4), *range(2)]])
    first = torch.tensor([0, 3, 8])
    training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            alone = torch.cat([token_states(encoder, ids[None], torch.ones_like(ids[None]), None)[0] for ids in texts])
            packed = token_states(encoder, row, numbers, positions)[0, :12]
            firsts = first_token_states(encoder, row, numbers, positions, first)
    finally:
        encoder.train(training)
    tolerance = 1e-4 * max(1.0, float(alone.abs().max()))
    return torch.allclose(packed, alone, atol=tolerance) and torch.allclose(firsts, alone[first], atol=tolerance)


def _first_position(encoder: PreTrainedModel) -> int:
    config = encoder.config
    return int(config.pad_token_id) + 1 if config.model_type in PADDED_POSITIONS else 0


def _layers(encoder: PreTrainedModel) -> Any:
    """The layers of a BERT, RoBERTa or ELECTRA, whose parts have the same names; None of another."""
    if encoder.config.model_type not in _FULL_ATTENTION or encoder.config._attn_implementation != "sdpa":
        return None
    layers = getattr(getattr(encoder, "encoder", None), "layer", None)
    return layers if isinstance(layers, nn.ModuleList) else None


def _at(hidden: Tensor, first_tokens: Tensor | None) -> Tensor:
    """*Shape:* ``hidden`` (R, W, H), ``first_tokens`` (B,) or None; result (B, H)."""
    return hidden[:, 0] if first_tokens is None else hidden.flatten(0, 1)[first_tokens]
