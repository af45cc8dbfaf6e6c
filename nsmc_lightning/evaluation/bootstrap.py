"""Confidence intervals by drawing clusters of rows again: rows of one text, or of one movie, are not independent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from nsmc_lightning.evaluation.scores import Answers, Ranks, contributions, scores_of_totals

DRAWS = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


def cluster_numbers(keys: Sequence[object] | np.ndarray) -> np.ndarray:
    """Number the clusters of rows with equal keys, int (N,) from 0."""
    import pandas as pd

    return pd.factorize(np.asarray(keys))[0]


def score_intervals(answers: Answers, clusters: np.ndarray, draws: int = DRAWS, seed: int = 0) -> dict[str, Interval]:
    """Compute intervals of :func:`~nsmc_lightning.evaluation.scores.scores` by the percentile bootstrap over clusters.

    Clusters are drawn with replacement, as many as there are, with all of their rows (the cluster bootstrap; Miller
    2024, arXiv 2411.00640, shows what intervals without clusters miss).

    Args:
        answers: labels and probabilities.
        clusters: the number of each row's cluster, int (N,).
        draws: number of draws.
        seed: of the draws.
    """
    sums = _sums_of_clusters(contributions(answers), clusters)
    ranks, classes, found = Ranks(answers), answers.probabilities.shape[1], []
    for times in _draws(sums.shape[0], draws, seed):
        values = scores_of_totals((sums.T @ times)[None], classes)[0]
        found.append({**values, "auroc": ranks.auroc(times[clusters])})
    return {name: _percentiles(np.array([values[name] for values in found])) for name in found[0]}


def mean_interval(values: np.ndarray, clusters: np.ndarray, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Compute the interval of a mean over rows, as :func:`score_intervals` does.

    *Shape:* ``values`` float (N,); ``clusters`` int (N,).
    """
    totals, sizes = np.bincount(clusters, values), np.bincount(clusters)
    means = [times @ totals / (times @ sizes) for times in _draws(len(sizes), draws, seed)]
    return _percentiles(np.array(means))


def _sums_of_clusters(rows: sparse.csr_matrix, clusters: np.ndarray) -> sparse.csr_matrix:
    number = np.arange(len(clusters))
    return sparse.csr_matrix((np.ones(len(clusters)), (clusters, number))) @ rows


def _draws(clusters: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how many times each cluster is drawn, float (clusters,)."""
    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(random.integers(clusters, size=clusters), minlength=clusters).astype(np.float64)


def _percentiles(values: np.ndarray) -> Interval:
    ends = (
        np.nanpercentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)]) if not np.isnan(values).all() else [np.nan] * 2
    )
    return Interval(float(ends[0]), float(ends[1]))
