"""The metrics, compared with scikit-learn's."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from nsmc_lightning.model.metrics import Logits, WeightedMean, build_metrics


def reference(labels: np.ndarray, predictions: np.ndarray, num_labels: int) -> dict[str, float]:
    average = "binary" if num_labels == 2 else "macro"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, _ = precision_recall_fscore_support(labels, predictions, average=average)
    return {"accuracy": accuracy_score(labels, predictions), "f1": f1, "precision": precision, "recall": recall}


@pytest.mark.parametrize("num_labels", [2, 3, 6])
@pytest.mark.parametrize("case", ["all classes", "a class without labels", "a class never predicted", "one class only"])
def test_equal_to_sklearn_over_uneven_batches(num_labels: int, case: str) -> None:
    random = np.random.default_rng(num_labels)
    for size in (1, 40, 1000):
        labels = random.integers(num_labels, size=size)
        predictions = np.where(random.random(size) < 0.6, labels, random.integers(num_labels, size=size))
        if case in ("a class without labels", "one class only"):
            labels = np.minimum(labels, num_labels - 2)
        if case in ("a class never predicted", "one class only"):
            predictions = np.minimum(predictions, num_labels - 2)
        metrics = build_metrics(num_labels)
        for part in np.array_split(np.arange(size), [min(3, size), min(4, size), size // 2 + 4]):
            if len(part):
                metrics.update(torch.from_numpy(predictions[part]), torch.from_numpy(labels[part]))
        found = {name: value.item() for name, value in metrics.compute().items()}
        assert found == pytest.approx(reference(labels, predictions, num_labels), abs=1e-6)


def test_names_and_prefix() -> None:
    names = ["val/accuracy", "val/f1", "val/precision", "val/recall"]
    assert sorted(build_metrics(3).clone(prefix="val/").keys()) == names


def test_state_is_no_part_of_a_checkpoint() -> None:
    assert not build_metrics(3).state_dict()


def test_weighted_mean() -> None:
    mean = WeightedMean()
    for value, weight in [(1.0, 300.0), (2.0, 300.0), (4.0, 1.5)]:
        mean.update(torch.tensor(value), torch.tensor(weight))
    assert mean.compute().item() == pytest.approx((300 + 600 + 6) / 601.5)
    mean.reset()
    mean.update(torch.tensor(5.0), torch.tensor(2.0))
    assert mean.compute().item() == 5


def test_weighted_mean_stays_in_float32() -> None:
    mean = WeightedMean().to(torch.bfloat16)
    for _ in range(600):  # a bfloat16 sum of ones stays at 256
        mean.update(torch.tensor(1.0), torch.tensor(1.0))
    assert mean.total.dtype == torch.float32
    assert mean.total.item() == mean.weight.item() == 600


def test_weighted_mean_shows_what_is_not_a_number() -> None:
    mean = WeightedMean()
    mean.update(torch.tensor(torch.nan), torch.tensor(1.0))
    mean.update(torch.tensor(1.0), torch.tensor(1.0))
    assert mean.compute().isnan()


@pytest.mark.parametrize("sizes", [[1], [3, 1, 4]])
def test_logits_come_in_the_order_of_their_rows(sizes: list[int]) -> None:
    rows = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(0))
    metric = Logits()
    for part in rows.split(sizes):
        metric.update(part, torch.stack([part.float(), -part.float()], dim=1), part % 3)
    logits, labels = metric.compute()
    expected = np.arange(sum(sizes))
    np.testing.assert_array_equal(logits, np.stack([expected, -expected], axis=1))
    np.testing.assert_array_equal(labels, expected % 3)
    assert not metric.state_dict()
