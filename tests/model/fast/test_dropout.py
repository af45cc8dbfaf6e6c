"""Fast dropout: share, scale, gradient, independence, seed."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from nsmc_lightning.model.fast.dropout import FastDropout, use_fast_dropout
from tests.conftest import SIZES


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_share_scale_and_gradient(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    values = torch.full((1001, 1001), 2.0, dtype=dtype, requires_grad=True)
    result = FastDropout(p)(values)
    assert result.dtype == dtype
    kept = result != 0
    # Four in a word, each must have the whole share: ±5 standard deviations of 250,000 draws.
    for lane in range(4):
        assert kept.flatten()[lane::4].double().mean().item() == pytest.approx(
            1 - p, abs=5 * (p * (1 - p) / 250e3) ** 0.5
        )
    scaled = torch.tensor(2 / (1 - p), dtype=dtype)
    torch.testing.assert_close(result[kept], scaled.expand(int(kept.sum())))
    result.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, result.detach() / 2)


def test_neighbours_are_independent() -> None:
    torch.manual_seed(0)
    kept = (FastDropout(0.5)(torch.ones(1_000_000)) != 0).double() - 0.5
    for shift in (1, 2, 3, 4):
        assert abs((kept[shift:] * kept[:-shift]).mean().item()) < 5 * 0.25 / 1e3


def test_follows_the_seed() -> None:
    dropout, values = FastDropout(0.3), torch.ones(100)
    torch.manual_seed(7)
    first, second = dropout(values), dropout(values)
    torch.manual_seed(7)
    assert torch.equal(dropout(values), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("p", [0.0, 0.4])
def test_nothing_is_dropped_in_evaluation(p: float) -> None:
    values = torch.randn(5, 3)
    assert torch.equal(FastDropout(p).eval()(values), values)
    assert torch.equal(FastDropout(0.0)(values), values)


def test_takes_the_place_of_every_dropout_and_of_nothing_else() -> None:
    encoder = BertModel(BertConfig(**SIZES))
    before, count = list(encoder.state_dict()), sum(isinstance(module, nn.Dropout) for module in encoder.modules())
    use_fast_dropout(encoder)
    assert list(encoder.state_dict()) == before
    assert sum(type(module) is FastDropout for module in encoder.modules()) == count > 0
    assert not any(type(module) is nn.Dropout for module in encoder.modules())
    assert all(not module.training for module in encoder.eval().modules())
