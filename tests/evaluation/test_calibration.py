"""Temperatures of logits with a known one, and reliability of known bins."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from nsmc_lightning.evaluation.calibration import COLDEST, fit_temperature, reliability, without_temperature
from nsmc_lightning.evaluation.scores import BINS, Answers


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_overconfident_logits_is_found(temperature: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 3)) * 2
    exponentials = np.exp(logits)
    labels = (random.random((20_000, 1)) > (exponentials / exponentials.sum(1, keepdims=True)).cumsum(1)).sum(1)
    found = fit_temperature(logits * temperature, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    near = [
        float(cross_entropy(torch.tensor(logits * temperature / value), torch.tensor(labels)))
        for value in (found, 0.98 * found, 1.02 * found)
    ]
    assert near[0] == min(near)


def test_logits_that_are_always_right_have_the_coldest_temperature() -> None:
    assert fit_temperature(np.array([[0.1, 0.0]]), np.array([0])) == pytest.approx(COLDEST, rel=0.01)


def test_a_temperature_is_taken_off_probabilities() -> None:
    logits = torch.tensor([[3.0, -1.0, 0.5], [200.0, 0.0, 0.0]])
    found = without_temperature(Answers(np.array([0, 0]), torch.softmax(logits / 1.7, dim=1).numpy()), 1.7)
    assert found.probabilities == pytest.approx(torch.softmax(logits, dim=1).numpy(), abs=1e-6)
    both_sides = torch.stack([torch.sigmoid(-logits[0] / 1.7), torch.sigmoid(logits[0] / 1.7)], dim=1)
    found = without_temperature(Answers(np.array([0, 0, 0]), both_sides.numpy()), 1.7)
    assert found.probabilities[:, 1] == pytest.approx(torch.sigmoid(logits[0]).numpy(), abs=1e-6)


def test_reliability_of_two_bins() -> None:
    found = reliability(Answers(np.array([0, 0, 1, 0]), np.array([[0.95, 0.05]] * 3 + [[0.4, 0.6]])))
    last, middle = BINS - 1, int(np.ceil(0.6 * BINS)) - 1
    assert (found.rows[last], found.confidence[last], found.accuracy[last]) == pytest.approx((3, 0.95, 2 / 3))
    assert (found.rows[middle], found.confidence[middle], found.accuracy[middle]) == pytest.approx((1, 0.6, 0))
    assert np.isnan(found.accuracy[0])
