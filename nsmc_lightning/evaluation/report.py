"""The report of a test: scores of all rows, of each class and of parts of the rows, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from nsmc_lightning.evaluation.bootstrap import BIASED, DRAWS, SEED, Interval, Redrawn, interval, redraw
from nsmc_lightning.evaluation.calibration import without_temperature
from nsmc_lightning.evaluation.scores import (
    BINS,
    Answers,
    Ranks,
    class_scores_of_totals,
    contributions,
    scores_of_totals,
)

FEWEST_CLUSTERS = 20
"""Percentiles of a bootstrap over fewer clusters make intervals that are far too narrow."""

_CALIBRATION = ("calibration_error", "brier")
_OF_CLASS = ("precision", "recall", "f1")
_ALIKE = 1e-9  # draws that differ by less differ by rounding

Key = tuple[str, str | int]


class Estimate(NamedTuple):
    """A score, its interval, and the clusters that were drawn for it, by name.

    The interval is the widest of those over different clusters. It is None where there are fewer than
    :data:`FEWEST_CLUSTERS` clusters, or where all draws are alike, as of rows that are all correct.
    """

    value: float
    interval: Interval | None = None
    clusters: str | None = None


class ClassScores(NamedTuple):
    """The scores of a class, and its rows."""

    support: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


class Part(NamedTuple):
    """Some of the rows: how many, and their accuracy; NaN where there are none."""

    rows: int
    accuracy: Estimate


class Report(NamedTuple):
    """What a test measured.

    Args:
        rows: number of rows.
        scores: the scores of all rows, by name as in :func:`~nsmc_lightning.evaluation.scores.scores`.
        before_temperature: calibration error and Brier score of the probabilities without their temperature.
        classes: the scores of each class, by name.
        parts: the parts of the rows by title, within each kind of parts.
        clusters: the number of clusters of each clustering, by name.
        temperature: that the logits were divided by.
        draws: number of draws of each bootstrap.
        seed: of the draws.
    """

    rows: int
    scores: dict[str, Estimate]
    before_temperature: dict[str, Estimate]
    classes: dict[str, ClassScores]
    parts: dict[str, dict[str, Part]]
    clusters: dict[str, int]
    temperature: float
    draws: int
    seed: int


def build_report(
    answers: Answers,
    labels: Sequence[str],
    parts: Mapping[str, Mapping[str, np.ndarray]],
    clusterings: Mapping[str, np.ndarray],
    temperature: float = 1.0,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Report:
    """Compute the report of N rows.

    Args:
        answers: labels and probabilities, calibrated.
        labels: the names of the classes.
        parts: by kind and title, which rows belong to a part, bool (N,).
        clusterings: by name, the number of each row's cluster from 0, int (N,).
        temperature: that the logits were divided by for these probabilities.
        draws: number of draws of each bootstrap.
        seed: of the draws.
    """
    masks = {(kind, title): mask for kind, some in parts.items() for title, mask in some.items()}
    estimates = _Estimates(answers, masks, clusterings, temperature, draws, seed)
    of_class = [answers.labels == i for i in range(len(labels))]
    everything = np.ones(len(answers.labels), dtype=bool)
    return Report(
        rows=len(answers.labels),
        scores=estimates.table("score", everything),
        before_temperature=estimates.table("before", everything),
        classes={
            label: ClassScores(int(mask.sum()), *(estimates.of((name, i), mask) for name in _OF_CLASS))
            for i, (label, mask) in enumerate(zip(labels, of_class, strict=True))
        },
        parts={
            kind: {title: Part(int(mask.sum()), estimates.of((kind, title), mask)) for title, mask in some.items()}
            for kind, some in parts.items()
        },
        clusters={name: _count(clusters) for name, clusters in clusterings.items()},
        temperature=temperature,
        draws=draws,
        seed=seed,
    )


class _Estimates:
    """The scores of all rows, and those of the draws of each clustering."""

    def __init__(
        self,
        answers: Answers,
        masks: Mapping[tuple[str, str], np.ndarray],
        clusterings: Mapping[str, np.ndarray],
        temperature: float,
        draws: int,
        seed: int,
    ) -> None:
        columns, ranks = _columns(answers, temperature, list(masks.values())), Ranks(answers)
        every = Redrawn(np.asarray(columns.sum(axis=0)), np.array([ranks.auroc()]))
        classes = answers.probabilities.shape[1]
        self.clusterings = clusterings
        self.measured = _statistics(every, classes, list(masks))
        self.drawn = {
            name: _statistics(redraw(columns, clusters, draws, seed, ranks), classes, list(masks))
            for name, clusters in clusterings.items()
        }

    def of(self, key: Key, rows: np.ndarray) -> Estimate:
        """Return a score of the rows of a mask, with the widest of its intervals."""
        value, found = float(self.measured[key][0]), dict[str, Interval]()
        for name, clusters in self.clusterings.items():
            ends = interval(self.drawn[name][key], value, key[1] in BIASED)
            if _count(clusters[rows]) >= FEWEST_CLUSTERS and ends.high - ends.low > _ALIKE:
                found[name] = ends
        if not found:
            return Estimate(value)
        widest = max(found, key=lambda name: found[name].high - found[name].low)
        return Estimate(value, found[widest], widest)

    def table(self, kind: str, rows: np.ndarray) -> dict[str, Estimate]:
        """Return the scores of a kind, by name."""
        return {str(key[1]): self.of(key, rows) for key in self.measured if key[0] == kind}


def _columns(answers: Answers, temperature: float, masks: list[np.ndarray]) -> sparse.csr_matrix:
    """What each row adds to the sums that :func:`_statistics` takes, float (N, F)."""
    flags = [mask.astype(np.float64) for mask in masks]
    parts = [*flags, *(flag * answers.correct for flag in flags)]
    before = contributions(without_temperature(answers, temperature))
    return sparse.hstack([contributions(answers), before, *(part[:, None] for part in parts)], format="csr")


def _statistics(sums: Redrawn, classes: int, parts: list[tuple[str, str]]) -> dict[Key, np.ndarray]:
    """Compute the values of every score of the report, float (D,) each, from the sums of D draws."""
    totals, width = sums.totals, classes**2 + 2 * BINS + 1
    found: dict[Key, np.ndarray] = {}
    found |= {("score", name): values for name, values in scores_of_totals(totals[:, :width], classes).items()}
    found["score", "auroc"] = sums.auroc
    before = scores_of_totals(totals[:, width : 2 * width], classes)
    found |= {("before", name): before[name] for name in _CALIBRATION}
    of_classes = class_scores_of_totals(totals[:, :width], classes)
    found |= {(name, i): of_classes[name][:, i] for name in _OF_CLASS for i in range(classes)}
    rows, correct = totals[:, 2 * width :].reshape(len(totals), 2, len(parts)).transpose(1, 2, 0)
    for part, number, right in zip(parts, rows, correct, strict=True):
        found[part] = np.divide(right, number, out=np.full(len(right), np.nan), where=number > 0)
    return found


def _count(clusters: np.ndarray) -> int:
    return len(np.unique(clusters))
