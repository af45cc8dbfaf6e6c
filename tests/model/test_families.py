"""The input that each family accepts, read from its configuration."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig

from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.families import attention_window, encoder_limits
from nsmc_lightning.types import EncoderLimits


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"model_type": "bert"}, EncoderLimits(30522, 512, 0)),
        ({"model_type": "bert", "max_position_embeddings": 300, "pad_token_id": 1}, EncoderLimits(30522, 300, 1)),
        ({"model_type": "electra", "vocab_size": 40}, EncoderLimits(40, 512, 0)),
        ({"model_type": "distilbert"}, EncoderLimits(30522, 512, 0)),
        (
            {"model_type": "roberta", "max_position_embeddings": 514, "type_vocab_size": 1},
            EncoderLimits(50265, 512, 1),
        ),
        (
            {"model_type": "xlm-roberta", "max_position_embeddings": 514, "type_vocab_size": 1, "vocab_size": 9},
            EncoderLimits(9, 512, 1),
        ),
        # Its table starts with two rows for padding, whatever pad_token_id is.
        ({"model_type": "mpnet", "pad_token_id": 0, "max_position_embeddings": 514}, EncoderLimits(30527, 512, 0)),
        ({"model_type": "deberta-v2", "position_biased_input": False}, EncoderLimits(128100, None, 0)),
        ({"model_type": "modernbert"}, EncoderLimits(50368, 8192, 50283)),
    ],
)
def test_limits(keys: dict[str, Any], expected: EncoderLimits) -> None:
    assert encoder_limits(AutoConfig.for_model(**keys)) == expected


def test_limits_are_those_of_the_encoder(family: dict[str, Any]) -> None:
    encoder = load_encoder(family, pretrained=True, need_pooler=False)
    limits = encoder_limits(encoder.config)
    assert limits.max_length == 40
    assert encoder.get_input_embeddings().num_embeddings == limits.vocab_size
    ids = torch.full((1, 40), 5)
    encoder(input_ids=ids)
    with pytest.raises((IndexError, RuntimeError)):
        encoder(input_ids=torch.full((1, 41), 5))


@pytest.mark.parametrize(
    ("keys", "window"),
    [
        ({"model_type": "bert"}, None),
        ({"model_type": "modernbert"}, 64),  # to each side, of 128 in all
        ({"model_type": "modernbert", "local_attention": 8}, 4),
        ({"model_type": "modernbert", "num_hidden_layers": 2, "layer_types": ["full_attention"] * 2}, None),
    ],
)
def test_window_of_local_attention(keys: dict[str, Any], window: int | None) -> None:
    assert attention_window(AutoConfig.for_model(**keys)) == window
