"""A score over several seeds: its mean, its standard deviation, and an interval for the mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from nsmc_lightning.evaluation.bootstrap import LEVEL, Interval


class Spread(NamedTuple):
    """The mean of n values, their sample standard deviation, and Student's t-interval for the mean.

    Of a single value, deviation and interval are NaN.
    """

    mean: float
    sd: float
    interval: Interval


def spread(values: Sequence[float]) -> Spread:
    """Compute the spread of at least one value.

    The interval assumes normally distributed values. It covers the choice of the seed, and not that of the test rows.
    """
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) == 1:
        return Spread(mean, np.nan, Interval(np.nan, np.nan))
    sd = float(array.std(ddof=1))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(array) - 1)) * sd / len(array) ** 0.5
    return Spread(mean, sd, Interval(mean - half, mean + half))


def median_index(values: Sequence[float]) -> int:
    """Return the index of the median; of an even number of values, of the lower of the two in the middle."""
    return int(np.argsort(np.asarray(values), kind="stable")[(len(values) - 1) // 2])
