"""The head; the mean over tokens, compared with a plain computation; poolers, compared with transformers' own."""

import re
from pathlib import Path

import pytest
import torch
import transformers
from transformers.models.auto.configuration_auto import model_type_to_module_name
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.head import ClassifierHead, mean_of_tokens, through_pooler
from tests.model.conftest import small


def test_mean_is_over_each_text_s_tokens() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(3, 5, 8)
    lengths = [5, 2, 1]
    mask = torch.tensor([[1] * n + [0] * (5 - n) for n in lengths])
    expected = torch.stack([hidden[i, :n].mean(dim=0) for i, n in enumerate(lengths)])
    torch.testing.assert_close(mean_of_tokens(hidden, mask, torch.arange(3) * 5, packed=False), expected)


def test_mean_of_packed_texts() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(2, 5, 8)
    mask = torch.tensor([[2, 2, 1, 1, 1], [3, 3, 3, 3, 0]])
    expected = torch.stack([hidden[0, 2:].mean(dim=0), hidden[0, :2].mean(dim=0), hidden[1, :4].mean(dim=0)])
    torch.testing.assert_close(mean_of_tokens(hidden, mask, torch.tensor([2, 0, 5]), packed=True), expected)


@pytest.mark.parametrize("packed", [False, True])
def test_mean_ignores_whatever_stands_on_padding(packed: bool) -> None:
    hidden = torch.randn(2, 4, 8)
    mask = torch.tensor([[1, 1, 0, 0], [2, 2, 2, 2]])
    spoilt = hidden.clone()
    spoilt[0, 2:] = torch.nan
    first_tokens = torch.tensor([0, 4])
    means = [mean_of_tokens(states, mask, first_tokens, packed) for states in (hidden, spoilt)]
    assert torch.equal(*means)


def test_mean_in_bfloat16_sums_in_float32() -> None:
    hidden = torch.ones(1, 512, 4, dtype=torch.bfloat16)  # a bfloat16 sum of ones stays at 256
    mask = torch.ones(1, 512, dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16):
        means = [mean_of_tokens(hidden, mask, torch.tensor([0]), packed) for packed in (False, True)]
    for mean in means:
        assert mean.dtype == torch.bfloat16
        assert torch.equal(mean, torch.ones(1, 4, dtype=torch.bfloat16))


def test_new_weights_are_those_of_a_bert_head() -> None:
    torch.manual_seed(0)
    head = ClassifierHead(512, 100, dropout=0.1)
    assert head.linear.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not head.linear.bias.any()


def test_dropout_is_before_the_linear_layer_and_in_training_only() -> None:
    head = ClassifierHead(64, 2, dropout=0.5)
    pooled = torch.randn(1, 64)
    assert not torch.equal(head(pooled), head(pooled))
    head.eval()
    assert torch.equal(head(pooled), head(pooled))


# The encoder's own pooler


def families_with_pooler() -> list[str]:
    """Names of the encoder families with a pooler, found in their source: importing all of them takes long."""
    models = Path(transformers.__file__).parent / "models"
    found = []
    for family in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        files = (models / model_type_to_module_name(family)).glob("modeling_*.py")
        # DeBERTa's ContextPooler belongs to its classifier, not to the encoder.
        if any(re.search(r"self\.pooler = (?!ContextPooler)", file.read_text(encoding="utf-8")) for file in files):
            found.append(family)
    return found


@pytest.mark.parametrize("family", families_with_pooler())
def test_pooled_texts_are_those_of_the_encoder_itself(family: str) -> None:
    torch.manual_seed(0)
    encoder = load_encoder(small(family), False, need_pooler=True).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():  # new weights are close to zero
            parameter.add_(torch.randn_like(parameter) * 0.2)
        ids = torch.randint(5, 50, (3, 8))
        output = encoder(input_ids=ids, attention_mask=torch.ones_like(ids))
        found = through_pooler(encoder, output.last_hidden_state[:, 0])
    assert output.pooler_output.abs().max() > 0.1
    torch.testing.assert_close(found, output.pooler_output)
