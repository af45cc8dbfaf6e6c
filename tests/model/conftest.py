"""Small encoders as from-scratch configurations: of four common families, and of any other."""

from typing import Any, Literal

import pytest
import transformers

from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.network import SequenceClassifier
from tests.conftest import SIZES, SMALL

TINY: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "electra": {"model_type": "electra", **SIZES, "embedding_size": 8},
    "roberta": {"model_type": "roberta", **SIZES, "max_position_embeddings": SIZES["max_position_embeddings"] + 1},
    "distilbert": {
        "model_type": "distilbert",
        "vocab_size": SIZES["vocab_size"],
        "dim": SIZES["hidden_size"],
        "n_layers": SIZES["num_hidden_layers"],
        "n_heads": SIZES["num_attention_heads"],
        "hidden_dim": SIZES["intermediate_size"],
        "max_position_embeddings": SIZES["max_position_embeddings"],
    },
}

SPECIAL: dict[str, dict[str, Any]] = {  # keys that must be small, or match the others
    "big_bird": {"attention_type": "original_full"},
    "deberta": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "max_relative_positions": 8},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8,
                   "share_att_key": True, "norm_rel_ebd": "layer_norm", "position_biased_input": False},
    "layoutlm": {"max_2d_position_embeddings": 64},
    "longformer": {"attention_window": 4},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 16},
    "mobilebert": {"intra_bottleneck_size": 16, "true_hidden_size": 16},
    "modernbert": {"local_attention": 8, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2, "sep_token_id": 2},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "roc_bert": {"pronunciation_vocab_size": 10, "shape_vocab_size": 10},
    "squeezebert": {"q_groups": 1, "k_groups": 1, "v_groups": 1, "intermediate_groups": 1, "output_groups": 1},
    "xmod": {"default_language": "en_XX"},
}  # fmt: skip


def small(model_type: str, **keys: Any) -> dict[str, Any]:
    """A small configuration of any family, with attention windows and position buckets of a few tokens."""
    default = transformers.AutoConfig.for_model(model_type)
    sizes = {key: value for key, value in {**SIZES, "embedding_size": 16}.items() if hasattr(default, key)}
    return {"model_type": model_type, **sizes, **SPECIAL.get(model_type, {}), **keys}


def build_network(
    backbone: str | dict[str, Any], pooling: Literal["cls", "pooler", "mean"] = "cls"
) -> SequenceClassifier:
    """A network of two classes without dropout."""
    encoder = load_encoder(backbone, True, pooling == "pooler", hidden_dropout=0.0, attention_dropout=0.0)
    return SequenceClassifier(encoder, num_outputs=2, pooling=pooling, dropout=0.0)


@pytest.fixture
def bert() -> dict[str, Any]:
    """A small BERT's configuration."""
    return dict(SMALL)


@pytest.fixture(params=sorted(TINY))
def family(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A small configuration of each family in turn."""
    return dict(TINY[request.param])
