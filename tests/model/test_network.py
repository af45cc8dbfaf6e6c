"""The network without a Trainer: one graph, and probabilities from one logit or several."""

from typing import Any

import torch
from torch.nn import functional as F

from nsmc_lightning.model.fast.probe import padded_inputs
from nsmc_lightning.model.network import to_probabilities
from tests.model.conftest import build_network


def test_forward_is_one_graph(bert: dict[str, Any]) -> None:
    network = build_network(bert, "mean").eval()
    names = list(network.state_dict())
    inputs = padded_inputs([torch.arange(2, 9), torch.arange(3, 6)], pad_token_id=0)
    expected = network(*inputs)
    network.compile(fullgraph=True, backend="eager")
    torch.testing.assert_close(network(*inputs), expected)
    assert list(network.state_dict()) == names


def test_probabilities_are_calibrated() -> None:
    logits = torch.tensor([[-3.0, 1.0, 0.5], [2.0, 0.5, 0.0]])
    torch.testing.assert_close(to_probabilities(logits, 2.5), F.softmax(logits / 2.5, dim=1))
    sigmoid = torch.sigmoid(logits[:, :1] / 2.5)
    torch.testing.assert_close(to_probabilities(logits[:, :1], 2.5), torch.cat([1 - sigmoid, sigmoid], dim=1))


def test_probabilities_of_one_logit_are_those_of_two() -> None:
    one, two = torch.tensor([[-3.0], [0.5], [90.0]]), torch.tensor([[0.0, -3.0], [0.0, 0.5], [0.0, 90.0]])
    torch.testing.assert_close(to_probabilities(one), F.softmax(two, dim=1))
    assert to_probabilities(one.bfloat16()).dtype == to_probabilities(two.bfloat16()).dtype == torch.float32
