"""Two classifiers on the same rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from nsmc_lightning.evaluation.bootstrap import DRAWS, Interval, mean_interval


class Agreement(NamedTuple):
    """How many rows both classifiers have right, only one of them, or neither, and McNemar's exact p-value."""

    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> Agreement:
    """Test whether two classifiers have as many rows right (McNemar 1947, exact and two-sided).

    The test assumes independent rows: of rows in clusters, :func:`difference` says more.

    *Shape:* ``first`` and ``second`` bool (N,), whether each row's prediction is correct.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differ = only_first + only_second
    p_value = float(binomtest(only_first, differ).pvalue) if differ else 1.0
    return Agreement(int((first & second).sum()), only_first, only_second, int((~first & ~second).sum()), p_value)


def difference(
    first: np.ndarray, second: np.ndarray, clusters: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> tuple[float, Interval]:
    """Compute the accuracy of the first minus that of the second, with its interval by a bootstrap over clusters.

    *Shape:* as for :func:`mcnemar`; ``clusters`` int (N,).
    """
    differences = first.astype(np.float64) - second.astype(np.float64)
    return float(differences.mean()), mean_interval(differences, clusters, draws, seed)
