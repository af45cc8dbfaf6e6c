"""The measures of a classifier."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryF1Score,
    BinaryPrecision,
    BinaryRecall,
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)


def build_metrics(num_labels: int) -> MetricCollection:
    """Accuracy, F1, precision and recall, equal to scikit-learn's.

    For two classes F1, precision and recall are those of class 1. For more they are the unweighted mean over the
    classes that occur among labels or predictions, and accuracy is the share of texts that are right. torchmetrics'
    defaults differ from class to class, so every average is named.

    *Shape:* to be updated with predicted classes int64 (B,) and labels int64 (B,).
    """
    check = False  # checking the values of each batch would make a GPU wait
    metrics: dict[str, Metric | MetricCollection]
    if num_labels == 2:
        metrics = {
            "accuracy": BinaryAccuracy(validate_args=check),
            "f1": BinaryF1Score(validate_args=check),
            "precision": BinaryPrecision(validate_args=check),
            "recall": BinaryRecall(validate_args=check),
        }
    else:
        metrics = {
            "accuracy": MulticlassAccuracy(num_labels, average="micro", validate_args=check),
            "f1": MulticlassF1Score(num_labels, average="macro", validate_args=check),
            "precision": MulticlassPrecision(num_labels, average="macro", validate_args=check),
            "recall": MulticlassRecall(num_labels, average="macro", validate_args=check),
        }
    return MetricCollection(metrics)


class WeightedMean(Metric):
    """Mean of the batches' losses, each with its weight, over all processes.

    torchmetrics' MeanMetric will not do: it leaves out what is not a number, or forgets the weights when told not to
    (``nan_strategy="disable"``, 1.9), and sums in bfloat16 where the trainer's precision is bf16-true.
    """

    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float32), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.float32), dist_reduce_fx="sum")

    def update(self, value: Tensor, weight: Tensor) -> None:
        """Adds a batch.

        *Shape:* ``value`` and ``weight`` float32 ().
        """
        self.total += value * weight
        self.weight += weight

    def compute(self) -> Tensor:
        """The mean so far, float32 ()."""
        return self.total / self.weight

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        """Follows the module to another device, but to no other dtype."""
        return super()._apply(lambda tensor: fn(tensor).to(tensor.dtype), exclude_state)
