"""What is known of encoder families: their attention, their positions, and the input that an encoder accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsmc_lightning.types import EncoderLimits

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# Families that tests show to pack exactly: at texts beyond their windows, and in rows wider than their position tables.
# The probe tries others at such lengths itself, which takes longer.
TESTED_FAMILIES = frozenset(
    {"albert", "bert", "camembert", "data2vec-text", "deberta", "deberta-v2", "distilbert", "electra", "ernie",
     "esmc", "eurobert", "gte", "jina_embeddings_v3", "luke", "megatron-bert", "modernbert", "mpnet", "nomic_bert",
     "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "squeezebert", "tapas", "xlm-roberta",
     "xlm-roberta-xl", "xmod"}
)  # fmt: skip
# Families with the layers of a BERT, which name their parts alike.
BERT_LAYERS = frozenset(
    {"bert", "camembert", "data2vec-text", "electra", "ernie", "roberta", "roc_bert", "xlm-roberta"}
)  # fmt: skip
# Families whose ``forward`` takes no mask of token pairs; their embeddings and their layers do.
MASKED_IN_PARTS = frozenset({"deberta", "deberta-v2"})
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


def attention_window(config: PretrainedConfig) -> int | None:
    """Return how far a token attends in the layers with local attention, or None if all layers attend to all tokens."""
    local = "sliding_attention" in (getattr(config, "layer_types", None) or ())
    return int(config.sliding_window) if local else None


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
