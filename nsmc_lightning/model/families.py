"""What is known of encoder families: their attention, their positions, and the input that an encoder accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsmc_lightning.types import EncoderLimits

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# Families that attend to all that the mask allows: our mask would replace the local window of others.
FULL_ATTENTION = frozenset({"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"})
# Families whose position table starts with rows for padding: the first token has position pad_token_id + 1. By default
# they count the ids other than pad_token_id, which a text may contain if the tokenizer pads with another id.
PADDED_POSITIONS = frozenset(
    {"camembert", "data2vec-text", "esm", "ibert", "longformer", "luke", "mpnet", "roberta",
     "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"}
)  # fmt: skip
# The families' names for dropout on attention weights.
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")
_MPNET_FIRST_POSITION = 2  # whatever pad_token_id is


def first_position(config: PretrainedConfig) -> int:
    """Return the position of a text's first token in the encoder's table."""
    if config.model_type == "mpnet":
        return _MPNET_FIRST_POSITION
    return int(config.pad_token_id) + 1 if config.model_type in PADDED_POSITIONS else 0


def encoder_limits(config: PretrainedConfig, packs_rows: bool = False) -> EncoderLimits:
    """Read from an encoder's configuration what it accepts; ``packs_rows`` is what the probe found."""
    max_length = getattr(config, "max_position_embeddings", None)
    if getattr(config, "position_biased_input", True) is False:
        max_length = None  # DeBERTa with relative positions only has no table
    elif max_length is not None and config.model_type in PADDED_POSITIONS:
        max_length -= first_position(config)
    return EncoderLimits(
        vocab_size=config.vocab_size,
        max_length=max_length,
        pad_token_id=config.pad_token_id,
        packs_rows=packs_rows,
    )
