"""The head: each pooling against a plain computation."""

from typing import Literal

import pytest
import torch

from nsmc_lightning.model.head import ClassifierHead, mean_of_tokens


@pytest.mark.parametrize("pooling", ["cls", "pooler", "mean"])
def test_pooling(pooling: Literal["cls", "pooler", "mean"]) -> None:
    torch.manual_seed(0)
    hidden, pooled = torch.randn(3, 5, 8), torch.randn(3, 8)
    lengths = [5, 2, 1]
    mask = torch.tensor([[1] * n + [0] * (5 - n) for n in lengths])
    head = ClassifierHead(8, 4, pooling, dropout=0.5).eval()
    vectors = {
        "cls": hidden[:, 0],
        "pooler": pooled,
        "mean": torch.stack([hidden[i, :n].mean(dim=0) for i, n in enumerate(lengths)]),
    }
    expected = vectors[pooling] @ head.linear.weight.T + head.linear.bias
    torch.testing.assert_close(head(hidden, mask, pooled), expected)


def test_mean_ignores_whatever_stands_on_padding() -> None:
    hidden = torch.randn(2, 4, 8)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    spoilt = hidden.clone()
    spoilt[0, 2:] = torch.nan
    assert torch.equal(mean_of_tokens(hidden, mask), mean_of_tokens(spoilt, mask))


def test_mean_in_bfloat16_sums_in_float32() -> None:
    hidden = torch.ones(1, 512, 4, dtype=torch.bfloat16)  # a bfloat16 sum of ones stays at 256
    mean = mean_of_tokens(hidden, torch.ones(1, 512, dtype=torch.int64))
    assert mean.dtype == torch.bfloat16
    assert torch.equal(mean, torch.ones(1, 4, dtype=torch.bfloat16))


def test_new_weights_are_those_of_a_bert_head() -> None:
    torch.manual_seed(0)
    head = ClassifierHead(512, 100, "cls", dropout=0.1)
    assert head.linear.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not head.linear.bias.any()


def test_dropout_is_before_the_linear_layer_and_in_training_only() -> None:
    head = ClassifierHead(64, 2, "cls", dropout=0.5)
    hidden, mask = torch.randn(1, 1, 64), torch.ones(1, 1, dtype=torch.int64)
    assert not torch.equal(head(hidden, mask, None), head(hidden, mask, None))
    head.eval()
    assert torch.equal(head(hidden, mask, None), head(hidden, mask, None))
