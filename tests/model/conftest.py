"""Tiny backbones of four families, as from-scratch configurations."""

from typing import Any

import pytest

_SIZES = {"vocab_size": 50, "type_vocab_size": 2}
_BERT = {
    **_SIZES,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}
TINY: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **_BERT},
    "electra": {"model_type": "electra", **_BERT, "embedding_size": 8},
    "roberta": {"model_type": "roberta", **_BERT, "type_vocab_size": 1, "max_position_embeddings": 33},
    "distilbert": {
        "model_type": "distilbert",
        "vocab_size": 50,
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 32,
        "max_position_embeddings": 32,
    },
}


@pytest.fixture
def bert() -> dict[str, Any]:
    """A tiny BERT's configuration."""
    return dict(TINY["bert"])


@pytest.fixture(params=sorted(TINY))
def family(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A tiny configuration of each family in turn."""
    return dict(TINY[request.param])
