"""Whether probabilities mean what they say, and the temperature that makes them do so."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from nsmc_lightning.evaluation.scores import BINS, Answers, bin_of

COLDEST, HOTTEST = 0.05, 20.0
"""Ends of the search for a temperature: a model that is right, or wrong, on all rows has none."""


class Reliability(NamedTuple):
    """Each bin of confidence: its rows, their mean confidence and their accuracy; NaN where there are none.

    *Shape:* each float (BINS,).
    """

    rows: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(answers: Answers) -> Reliability:
    """Compute the points of a reliability diagram (Guo et al. 2017, arXiv 1706.04599)."""
    confidence = answers.probabilities.max(axis=1)
    bins = bin_of(confidence)
    rows = np.bincount(bins, minlength=BINS)
    filled = np.where(rows > 0, rows, np.nan)
    sums = (np.bincount(bins, values, minlength=BINS) for values in (confidence, answers.correct))
    return Reliability(rows.astype(np.float64), *(total / filled for total in sums))


def calibration_error(points: Reliability) -> float:
    """Compute the expected calibration error: the mean difference of accuracy and confidence, by rows of the bins."""
    return float(np.nansum(np.abs(points.accuracy - points.confidence) * points.rows) / max(points.rows.sum(), 1))


def without_temperature(answers: Answers, temperature: float) -> Answers:
    """Return the probabilities of the logits themselves, from those of the logits divided by ``temperature``."""
    with np.errstate(divide="ignore"):  # probabilities may be rounded to 0
        logits = np.log(answers.probabilities.astype(np.float64)) * temperature
    return Answers(answers.labels, softmax(logits, axis=1))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the T whose ``softmax(logits / T)`` has the least cross-entropy with the labels (Guo et al. 2017).

    Log probabilities are logits, too.

    *Shape:* ``logits`` float (N, C); ``labels`` int (N,).
    """
    logits, rows = logits.astype(np.float64), np.arange(len(labels))

    def cross_entropy(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean())

    found = minimize_scalar(cross_entropy, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def calibrating_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return :func:`fit_temperature`, or 1 where these rows determine none.

    If all of them are right, the best temperature is 0, and every probability would be 0 or 1.

    *Shape:* as for :func:`fit_temperature`.
    """
    if not np.isfinite(logits).all() or (logits.argmax(axis=1) == labels).all():
        return 1.0
    return fit_temperature(logits, labels)
