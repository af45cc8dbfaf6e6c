"""The loss: cross-entropy over classes, or over the two sides of one sigmoid."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nsmc_lightning.errors import UserError


class CrossEntropy(nn.Module):
    """``nn.CrossEntropyLoss`` in float32, with class weights that checkpoints leave out.

    With weights w and smoothing ε over C classes, a text of class y costs
    ``(1 - ε) · w[y] · -log p[y] + ε / C · Σ_c w[c] · -log p[c]``, and a batch costs the sum of that over its texts,
    divided by the sum of their ``w[y]``.

    Args:
        label_smoothing: ε, from Szegedy et al. 2016.
        class_weights: w, one for each class; None weighs all 1.
    """

    weight: Tensor | None

    def __init__(self, label_smoothing: float, class_weights: list[float] | None) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        weight = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("weight", weight, persistent=False)

    def set_weight(self, class_weights: list[float]) -> None:
        """Replace the weights of a loss that was built with some."""
        assert self.weight is not None, "built without weights"
        self.weight.copy_(torch.tensor(class_weights))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the weighted mean over a batch.

        *Shape:* ``logits`` (B, C) of any float dtype, ``labels`` int64 (B,); result float32 ().
        """
        weight = None if self.weight is None else self.weight.float()  # bfloat16 under precision bf16-true
        return F.cross_entropy(self.class_logits(logits), labels, weight, label_smoothing=self.label_smoothing)

    def class_logits(self, logits: Tensor) -> Tensor:
        """Return the logits of all classes in float32.

        *Shape:* ``logits`` as for :meth:`forward`; result float32 (B, C).
        """
        return logits.float()

    def text_weights(self, labels: Tensor) -> Tensor:
        """Return the weight of each text's class.

        *Shape:* ``labels`` int64 (B,); result float32 (B,).
        """
        if self.weight is None:
            return torch.ones(len(labels), device=labels.device)
        return self.weight.float()[labels]

    def total_weight(self, labels: Tensor) -> Tensor:
        """Sum the class weights of labels: the weight of :meth:`forward`'s result in a mean over several batches.

        *Shape:* ``labels`` int64 (B,); result float32 ().
        """
        return self.text_weights(labels).sum()


class BinaryCrossEntropy(CrossEntropy):
    """Binary cross-entropy on one sigmoid output, with the smoothing and class weights of :class:`CrossEntropy`.

    A sigmoid of the logit z is the softmax of the two logits (0, z), so the formula there holds with
    ``p[1] = sigmoid(z)`` and ``p[0] = 1 - p[1]``. ``nn.BCEWithLogitsLoss`` has neither smoothing nor a weight for the
    negative class, and divides by the number of texts even if they are weighted.
    """

    def class_logits(self, logits: Tensor) -> Tensor:
        """Return the logits 0 and z of the two sides.

        *Shape:* ``logits`` (B, 1) of any float dtype; result float32 (B, 2).
        """
        return F.pad(logits.float(), (1, 0))


def r_drop_loss(loss: CrossEntropy, first: Tensor, second: Tensor, labels: Tensor, alpha: float) -> Tensor:
    """Compute half of the loss of R-Drop (Liang et al. 2021, arXiv 2106.14448, section 2.1).

    For a text of class y whose two passes with different dropout give the probabilities p and q, the paper minimizes
    ``-log p[y] - log q[y] + α / 2 · (KL(p‖q) + KL(q‖p))``. Half of that has the scale of a single pass's loss. Here,
    ``loss`` with its smoothing replaces ``-log``, and class weights also weigh the divergences. α is the paper's; the
    example in its authors' README halves the logarithms alone, so that an α there is half of one here.

    Args:
        loss: of one pass.
        first: the first pass's logits.
        second: the second pass's logits.
        labels: the texts' labels.
        alpha: α, weight of the divergence.

    *Shape:* ``first`` and ``second`` as ``loss`` takes them, ``labels`` int64 (B,); result float32 ().
    """
    log_p, log_q = (loss.class_logits(logits).log_softmax(dim=1) for logits in (first, second))
    divergence = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1)  # KL(p‖q) + KL(q‖p)
    weights = loss.text_weights(labels)
    mean = (divergence * weights).sum() / weights.sum()
    return (loss(first, labels) + loss(second, labels)) / 2 + alpha / 4 * mean


def balanced_weights(counts: Mapping[str, int]) -> list[float]:
    """Return weights in inverse proportion to the classes' counts: scikit-learn's ``class_weight="balanced"``.

    Args:
        counts: training rows of each class, by its name.

    Raises:
        UserError: a class has none.
    """
    if missing := [name for name, count in counts.items() if not count]:
        raise UserError(
            f"model.class_weights balanced: no training row has the label {', '.join(missing)}.\n"
            "Give numbers, one for each class, or a corpus without that label."
        )
    return [sum(counts.values()) / (len(counts) * count) for count in counts.values()]


def build_loss(
    loss: Literal["cross_entropy", "binary_cross_entropy"],
    label_smoothing: float,
    class_weights: list[float] | Literal["balanced"] | None,
    num_labels: int,
) -> CrossEntropy:
    """Build a loss by its name; balanced weights are NaN until the training rows are counted.

    Raises:
        UserError: ``class_weights`` has not one weight for each class, or one that is not a positive number.
    """
    kind = BinaryCrossEntropy if loss == "binary_cross_entropy" else CrossEntropy
    if class_weights == "balanced":
        return kind(label_smoothing, [math.nan] * num_labels)
    if class_weights is not None:
        if isinstance(class_weights, str):
            raise UserError(f"model.class_weights {class_weights}: give balanced, or a list of numbers.")
        if len(class_weights) != num_labels:
            raise UserError(
                f"model.class_weights has {len(class_weights)} numbers for {num_labels} classes: give one each."
            )
        if not all(0 < weight < math.inf for weight in class_weights):
            raise UserError(f"model.class_weights is {class_weights}: each must be above 0.")
    return kind(label_smoothing, class_weights)
