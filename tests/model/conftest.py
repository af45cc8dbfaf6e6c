"""Small encoders of four families, as from-scratch configurations."""

from typing import Any, Literal

import pytest

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
