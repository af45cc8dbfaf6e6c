"""Metrics of a classifier."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Accuracy, F1Score, Metric, MetricCollection, Precision, Recall
from torchmetrics.utilities import dim_zero_cat


def build_metrics(num_labels: int) -> MetricCollection:
    """Build accuracy, F1, precision and recall, equal to scikit-learn's.

    For two classes, F1, precision and recall are those of class 1. For more they are the unweighted mean over the
    classes that occur among labels or predictions, and accuracy is the share of correct texts.

    *Shape:* update with predicted classes int64 (B,) and labels int64 (B,).
    """
    task = {"task": "binary"} if num_labels == 2 else {"task": "multiclass", "num_classes": num_labels}
    kinds = {"accuracy": Accuracy, "f1": F1Score, "precision": Precision, "recall": Recall}
    return MetricCollection(
        {
            # Defaults differ between metrics. Checking the values of each batch would wait for the GPU.
            name: kind(**task, average="micro" if name == "accuracy" else "macro", validate_args=False)
            for name, kind in kinds.items()
        }
    )


class WeightedMean(Metric):
    """Weighted mean of the batches' losses over all processes.

    torchmetrics' MeanMetric (1.9) ignores NaN, or with ``nan_strategy="disable"`` the weights, and sums in bfloat16
    under the precision bf16-true.
    """

    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float32), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.float32), dist_reduce_fx="sum")

    def update(self, value: Tensor, weight: Tensor) -> None:
        """Add a batch.

        *Shape:* ``value`` and ``weight`` float32 ().
        """
        self.total += value * weight
        self.weight += weight

    def compute(self) -> Tensor:
        """Return the mean so far, float32 ()."""
        return self.total / self.weight

    # torch 2.13: module.to(dtype) calls this on each submodule, and nothing public.
    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        """Move to another device with the module, but keep the dtype."""
        return super()._apply(lambda tensor: fn(tensor).to(tensor.dtype), exclude_state)


class Logits(Metric):
    """The logits and labels of all texts of all processes, in the order of their rows."""

    full_state_update = False
    rows: list[Tensor]
    logits: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("rows", "logits", "labels"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, rows: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        *Shape:* ``rows`` and ``labels`` int64 (B,); ``logits`` float32 (B, C).
        """
        self.rows.append(rows)
        self.logits.append(logits)
        self.labels.append(labels)

    def compute(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits, float32 (N, C), and the labels, int64 (N,)."""
        rows, logits, labels = (dim_zero_cat(state).cpu().numpy() for state in (self.rows, self.logits, self.labels))
        order = np.argsort(rows, kind="stable")
        return logits[order], labels[order]
