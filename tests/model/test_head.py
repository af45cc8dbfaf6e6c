"""The head, and the mean over tokens against a plain computation."""

import pytest
import torch

from nsmc_lightning.model.head import ClassifierHead, mean_of_tokens


def test_mean_is_over_each_text_s_tokens() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(3, 5, 8)
    lengths = [5, 2, 1]
    mask = torch.tensor([[1] * n + [0] * (5 - n) for n in lengths])
    expected = torch.stack([hidden[i, :n].mean(dim=0) for i, n in enumerate(lengths)])
    torch.testing.assert_close(mean_of_tokens(hidden, mask, None), expected)


def test_mean_of_packed_texts() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(2, 5, 8)
    mask = torch.tensor([[2, 2, 1, 1, 1], [3, 3, 3, 3, 0]])
    expected = torch.stack([hidden[0, 2:].mean(dim=0), hidden[0, :2].mean(dim=0), hidden[1, :4].mean(dim=0)])
    torch.testing.assert_close(mean_of_tokens(hidden, mask, torch.tensor([2, 0, 5])), expected)


@pytest.mark.parametrize("first_tokens", [None, torch.tensor([0, 4])], ids=["padded", "packed"])
def test_mean_ignores_whatever_stands_on_padding(first_tokens: torch.Tensor | None) -> None:
    hidden = torch.randn(2, 4, 8)
    mask = torch.tensor([[1, 1, 0, 0], [2, 2, 2, 2]])
    spoilt = hidden.clone()
    spoilt[0, 2:] = torch.nan
    assert torch.equal(mean_of_tokens(hidden, mask, first_tokens), mean_of_tokens(spoilt, mask, first_tokens))


def test_mean_in_bfloat16_sums_in_float32() -> None:
    hidden = torch.ones(1, 512, 4, dtype=torch.bfloat16)  # a bfloat16 sum of ones stays at 256
    mask = torch.ones(1, 512, dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16):
        means = [mean_of_tokens(hidden, mask, first_tokens) for first_tokens in (None, torch.tensor([0]))]
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
