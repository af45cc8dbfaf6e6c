"""The losses, compared with torch's own and with the formula."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.loss import BinaryCrossEntropy, CrossEntropy, balanced_weights, build_loss, r_drop_loss

SETTINGS = [(0.0, None), (0.1, None), (0.0, [0.3, 2.0]), (0.2, [0.3, 2.0])]


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (17, 2) and labels."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(17, 2, generator=generator) * 3, torch.randint(2, (17,), generator=generator)


@pytest.mark.parametrize(("smoothing", "weights"), SETTINGS)
def test_cross_entropy_is_torchs(
    batch: tuple[torch.Tensor, torch.Tensor], smoothing: float, weights: list[float] | None
) -> None:
    loss = build_loss("cross_entropy", smoothing, weights, num_labels=2)
    reference = nn.CrossEntropyLoss(torch.tensor(weights) if weights else None, label_smoothing=smoothing)
    torch.testing.assert_close(loss(*batch), reference(*batch))


@pytest.mark.parametrize(("smoothing", "weights"), SETTINGS)
def test_binary_cross_entropy_is_the_formula(
    batch: tuple[torch.Tensor, torch.Tensor], smoothing: float, weights: list[float] | None
) -> None:
    logits, labels = batch[0][:, :1], batch[1]
    w = weights or [1.0, 1.0]
    total, divisor = 0.0, 0.0
    for z, y in zip(logits[:, 0].double(), labels.tolist(), strict=True):
        p1 = 1 / (1 + torch.exp(-z))
        cost = [-torch.log(1 - p1).item(), -torch.log(p1).item()]
        total += (1 - smoothing) * w[y] * cost[y] + smoothing / 2 * (w[0] * cost[0] + w[1] * cost[1])
        divisor += w[y]
    loss = build_loss("binary_cross_entropy", smoothing, weights, num_labels=2)
    assert loss(logits, labels).item() == pytest.approx(total / divisor, rel=1e-5)
    assert loss.total_weight(labels).item() == pytest.approx(divisor)


def test_plain_binary_cross_entropy_is_torchs(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = batch[0][:, :1], batch[1]
    reference = nn.BCEWithLogitsLoss()(logits[:, 0], labels.float())
    torch.testing.assert_close(BinaryCrossEntropy(0.0, None)(logits, labels), reference)


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    loss = BinaryCrossEntropy(0.0, None)(logits, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 200
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.tensor([[0.5], [-0.5]]))


@pytest.mark.parametrize("weights", [None, [0.25, 2.0]])
def test_batches_weighted_by_total_weight_give_the_whole(
    batch: tuple[torch.Tensor, torch.Tensor], weights: list[float] | None
) -> None:
    loss = CrossEntropy(0.1, weights)
    parts = list(zip(batch[0].split(5), batch[1].split(5), strict=True))
    total = sum(loss(x, y) * loss.total_weight(y) for x, y in parts)
    torch.testing.assert_close(total / sum(loss.total_weight(y) for _, y in parts), loss(*batch))


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return float(sum(a * (np.log(a) - np.log(b)) for a, b in zip(p, q, strict=True)))


@pytest.mark.parametrize("kind", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize(("smoothing", "weights"), SETTINGS)
def test_r_drop_is_half_of_the_paper_s_loss(
    batch: tuple[torch.Tensor, torch.Tensor], kind: Any, smoothing: float, weights: list[float] | None
) -> None:
    loss = build_loss(kind, smoothing, weights, num_labels=2)
    columns = 1 if kind == "binary_cross_entropy" else 2
    first, second, labels = batch[0][:, :columns], batch[0].flip(0)[:, :columns], batch[1]
    both = []
    for logits in (first, second):
        z = logits.double().numpy()
        z = np.hstack([np.zeros_like(z), z]) if columns == 1 else z
        both.append(np.exp(z) / np.exp(z).sum(1, keepdims=True))
    w, alpha, total, divisor = np.array(weights or [1.0, 1.0]), 0.7, 0.0, 0.0
    for p, q, y in zip(*both, labels.tolist(), strict=True):
        cost = sum((1 - smoothing) * w[y] * -np.log(r[y]) + smoothing / 2 * (w * -np.log(r)).sum() for r in (p, q))
        total += cost + w[y] * alpha / 2 * (kl(p, q) + kl(q, p))
        divisor += w[y]
    assert r_drop_loss(loss, first, second, labels, alpha).item() == pytest.approx(total / divisor / 2, rel=1e-5)


def test_r_drop_of_equal_passes_is_the_plain_loss(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    loss = CrossEntropy(0.1, None)
    torch.testing.assert_close(r_drop_loss(loss, batch[0], batch[0], batch[1], alpha=5.0), loss(*batch))


@pytest.mark.parametrize("weights", [None, [0.25, 2.0]])
def test_r_drop_of_batches_gives_the_whole(
    batch: tuple[torch.Tensor, torch.Tensor], weights: list[float] | None
) -> None:
    loss, whole = CrossEntropy(0.1, weights), (batch[0], batch[0].flip(1), batch[1])
    parts = list(zip(*(tensor.split(5) for tensor in whole), strict=True))
    total = sum(r_drop_loss(loss, *part, alpha=2.0) * loss.total_weight(part[2]) for part in parts)
    torch.testing.assert_close(total / loss.total_weight(batch[1]), r_drop_loss(loss, *whole, alpha=2.0))


def test_r_drop_of_extreme_logits_stays_finite() -> None:
    first = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    loss = r_drop_loss(BinaryCrossEntropy(0.0, None), first, -first, torch.tensor([0, 1]), alpha=1.0)
    loss.backward()
    assert loss.isfinite()
    assert first.grad is not None
    assert first.grad.isfinite().all()


def test_half_precision_logits_and_weights_cost_in_float32(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    loss = CrossEntropy(0.0, [0.5, 2.0]).bfloat16()
    assert loss(batch[0].bfloat16(), batch[1]).dtype == torch.float32
    assert not loss.state_dict()


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0], [0.0, 1.0], [-1.0, 1.0], [float("nan"), 1.0]])
def test_bad_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(UserError, match=r"model\.class_weights"):
        build_loss("cross_entropy", 0.0, weights, num_labels=2)


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.repeat([0, 1, 2], [700, 20, 3])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced_weights({"a": 700, "b": 20, "c": 3}) == pytest.approx(expected.tolist())
    loss = build_loss("cross_entropy", 0.0, "balanced", num_labels=3)
    assert loss(torch.zeros(1, 3), torch.tensor([0])).isnan()  # until the rows are counted
    loss.set_weight([1.0, 2.0, 3.0])
    logits = torch.eye(3)
    torch.testing.assert_close(
        loss(logits, torch.arange(3)), nn.CrossEntropyLoss(torch.tensor([1.0, 2, 3]))(logits, torch.arange(3))
    )


def test_a_class_without_training_rows_has_no_balanced_weight() -> None:
    with pytest.raises(UserError, match=r"model\.class_weights balanced: .*neutral.*\nGive"):
        balanced_weights({"negative": 3, "neutral": 0, "positive": 4})
