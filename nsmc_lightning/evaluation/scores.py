"""Scores of a classifier's probabilities, computed from sums over rows, so that a bootstrap only adds them up again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

BINS = 15
"""Equal bins of confidence for the calibration error, as in Guo et al. 2017 (arXiv 1706.04599)."""


class Answers(NamedTuple):
    """The probabilities that a classifier gave to N rows, and their labels.

    *Shape:* ``labels`` int (N,), from 0 to C - 1; ``probabilities`` float (N, C).
    """

    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each row, int (N,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Whether each row's most probable class is its label, bool (N,)."""
        return self.predicted == self.labels

    def part(self, chosen: np.ndarray) -> Answers:
        """Return the rows of a bool (N,) mask, or those with these numbers."""
        return Answers(self.labels[chosen], self.probabilities[chosen])


def scores(answers: Answers) -> dict[str, float]:
    """Compute accuracy, macro and weighted F1, MCC, AUROC, calibration error and Brier score.

    F1 of a class that is neither a label nor predicted is 0, as in scikit-learn. AUROC is the mean over the classes of
    one against the rest, for two classes that of class 1; NaN where a class has no rows or all of them. The calibration
    error is the expected one over :data:`BINS` bins of confidence. The Brier score is the mean squared difference, for
    more than two classes the mean of its sum over the classes, as in scikit-learn.
    """
    totals = np.asarray(contributions(answers).sum(axis=0)).ravel()
    found = scores_of_totals(totals[None], answers.probabilities.shape[1])
    return {**{name: float(values[0]) for name, values in found.items()}, "auroc": Ranks(answers).auroc()}


def contributions(answers: Answers) -> sparse.csr_matrix:
    """Compute what each row adds to the sums that :func:`scores_of_totals` takes.

    *Shape:* (N, F), F = C² + 2 · BINS + 1: the cell of the confusion matrix (label · C + predicted); each bin's
    confidence, and how many of its rows are correct; the Brier score.
    """
    rows, classes = answers.probabilities.shape
    predicted, number = answers.predicted, np.arange(rows)
    confidence = answers.probabilities[number, predicted].astype(np.float64)
    bins = bin_of(confidence) + classes**2
    squares = (answers.probabilities - np.eye(classes)[answers.labels]) ** 2
    brier = squares.sum(axis=1) / (2 if classes == 2 else 1)
    ones = np.ones(rows)
    columns = [answers.labels * classes + predicted, bins, bins + BINS, classes**2 + 2 * BINS]
    values = [ones, confidence, answers.correct.astype(np.float64), brier]
    places = (np.tile(number, len(values)), np.concatenate([np.broadcast_to(column, rows) for column in columns]))
    return sparse.csr_matrix((np.concatenate(values), places), shape=(rows, classes**2 + 2 * BINS + 1))


def bin_of(confidence: np.ndarray) -> np.ndarray:
    """Return the bin from 0 of each confidence, int (N,); a bin includes its upper end."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def scores_of_totals(totals: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Compute all scores but AUROC from sums of :func:`contributions`.

    *Shape:* ``totals`` float (D, F); each score float (D,).
    """
    confidence, correct = totals[:, classes**2 : -1].reshape(-1, 2, BINS).transpose(1, 0, 2)
    right, support, chosen = _counts(totals, classes)
    rows = support.sum(axis=1)
    f1 = _f1(right, support, chosen)
    return {
        "accuracy": right.sum(axis=1) / rows,
        "macro_f1": f1.mean(axis=1),
        "weighted_f1": (f1 * support).sum(axis=1) / rows,
        "mcc": _mcc(right, support, chosen, rows),
        "calibration_error": np.abs(correct - confidence).sum(axis=1) / rows,
        "brier": totals[:, -1] / rows,
    }


def class_scores_of_totals(totals: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Compute precision, recall, F1 and support (rows) of each class; 0 where nothing defines one, as in scikit-learn.

    *Shape:* ``totals`` float (D, F), sums of :func:`contributions`; each score float (D, C).
    """
    right, support, chosen = _counts(totals, classes)
    return {
        "precision": right / np.maximum(chosen, 1e-12),
        "recall": right / np.maximum(support, 1e-12),
        "f1": _f1(right, support, chosen),
        "support": support,
    }


def _counts(totals: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how many rows of each class are right, are of the class, and are predicted to be, each (D, C)."""
    confusion = totals[:, : classes**2].reshape(-1, classes, classes)
    return np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2), confusion.sum(axis=1)


def _f1(right: np.ndarray, support: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return 2 * right / np.maximum(support + chosen, 1e-12)


def _mcc(right: np.ndarray, support: np.ndarray, chosen: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Compute Matthews' correlation for any number of classes (Gorodkin 2004); 0 where one class takes all."""
    covariance = right.sum(axis=1) * rows - (support * chosen).sum(axis=1)
    spread = (rows**2 - (support**2).sum(axis=1)) * (rows**2 - (chosen**2).sum(axis=1))
    return np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1)), 0.0)


class Ranks:
    """The order of each class's probabilities, sorted once for the AUROC of any weights of the rows.

    Args:
        answers: labels and probabilities.
    """

    def __init__(self, answers: Answers) -> None:
        classes = answers.probabilities.shape[1]
        numbers = [1] if classes == 2 else range(classes)
        self._columns = [_rank(answers.probabilities[:, number], answers.labels == number) for number in numbers]

    def auroc(self, weights: np.ndarray | None = None) -> float:
        """Compute the area under the ROC curve, ties counted half.

        *Shape:* ``weights`` float (N,), 1 where it is None.
        """
        return float(np.mean([_area(column, weights) for column in self._columns]))


class _Ranked(NamedTuple):
    """The rows of a class (P) and all others (Q), both by row number, the others in the order of their probabilities.

    *Shape:* ``positive``, ``below`` and ``up_to`` int (P,), ``negative`` int (Q,): of the others, the first ``below``
    have a smaller probability than a row of the class, the first ``up_to`` have no larger one.
    """

    positive: np.ndarray
    negative: np.ndarray
    below: np.ndarray
    up_to: np.ndarray


def _rank(probabilities: np.ndarray, is_class: np.ndarray) -> _Ranked:
    positive, negative = np.flatnonzero(is_class), np.flatnonzero(~is_class)
    negative = negative[np.argsort(probabilities[negative], kind="stable")]
    ends = (np.searchsorted(probabilities[negative], probabilities[positive], side) for side in ("left", "right"))
    return _Ranked(positive, negative, *ends)


def _area(ranked: _Ranked, weights: np.ndarray | None) -> float:
    """Compute the share of pairs of a row of the class and another in which the first has the larger probability."""
    positive = np.ones(len(ranked.positive)) if weights is None else weights[ranked.positive]
    negative = np.ones(len(ranked.negative)) if weights is None else weights[ranked.negative]
    sums = np.concatenate([[0.0], np.cumsum(negative)])
    pairs = positive.sum() * sums[-1]
    return float(positive @ (sums[ranked.below] + sums[ranked.up_to]) / (2 * pairs)) if pairs else np.nan
