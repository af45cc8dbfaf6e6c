"""The fast linear layer against torch's own, in double precision."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel

from nsmc_lightning.model.fast.linear import FastLinear, use_fast_linear
from tests.conftest import SIZES

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch comes without oneDNN"
)


@pytest.fixture
def by_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every fast linear layer use oneDNN."""
    monkeypatch.setattr(FastLinear, "onednn", True)


def gradients(layer: nn.Linear, values: torch.Tensor, weights: torch.Tensor) -> list[torch.Tensor]:
    """The result, and the gradients of a weighted sum of it for the input and the parameters."""
    result = layer(values)
    return [result, *torch.autograd.grad((result * weights).sum(), [values, *layer.parameters()])]


@needs_onednn
@pytest.mark.usefixtures("by_onednn")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(37,), (3, 11)])
def test_result_and_gradients(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, reference = FastLinear(48, 80, bias=bias), nn.Linear(48, 80, bias=bias).double()
    reference.load_state_dict(layer.state_dict())
    values = torch.randn(*shape, 48, requires_grad=True)
    weights = torch.randn(80, *shape).movedim(0, -1)  # gives a gradient that is not contiguous
    found = gradients(layer, values, weights)
    expected = gradients(reference, values.detach().double().requires_grad_(), weights.double())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


@needs_onednn
@pytest.mark.usefixtures("by_onednn")
def test_a_result_may_be_changed_in_place() -> None:
    layer = FastLinear(4, 3, bias=False)
    result = layer(torch.ones(2, 5, 4))
    result /= 2
    result.sum().backward()
    torch.testing.assert_close(layer.weight.grad, torch.full((3, 4), 5.0))


@needs_onednn
@pytest.mark.usefixtures("by_onednn")
def test_gradients_that_nobody_asks_for_are_left_out() -> None:
    layer = FastLinear(4, 3)
    layer.weight.requires_grad_(False)
    layer(torch.randn(2, 4)).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None
    torch.testing.assert_close(layer.bias.grad, torch.full((3,), 2.0))


@needs_onednn
@pytest.mark.usefixtures("by_onednn")
def test_operations_are_counted() -> None:
    values, counts = torch.randn(3, 7, 40, requires_grad=True), []
    for layer in (FastLinear(40, 9), nn.Linear(40, 9)):
        with FlopCounterMode(display=False) as counter:
            layer(values).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] == 3 * 2 * 3 * 7 * 40 * 9


@pytest.mark.usefixtures("by_onednn")
def test_other_dtypes_and_autocast_are_left_to_torch() -> None:
    layer, values = FastLinear(4, 3), torch.randn(2, 4)
    expected = nn.functional.linear(values.double(), layer.weight.double(), layer.bias.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(values).dtype == torch.bfloat16
    assert torch.equal(layer.double()(values.double()), expected)


def test_takes_the_place_of_every_linear_layer_and_keeps_the_weights() -> None:
    encoder = BertModel(BertConfig(**SIZES))
    before = dict(encoder.named_parameters())
    count = sum(isinstance(module, nn.Linear) for module in encoder.modules())
    use_fast_linear(encoder)
    after = dict(encoder.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert sum(type(module) is FastLinear for module in encoder.modules()) == count > 0
