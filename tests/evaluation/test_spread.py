"""Mean, deviation and interval over seeds, compared with scipy and pandas."""

import math

import pandas as pd
import pytest
from scipy import stats

from nsmc_lightning.evaluation.spread import median_index, spread


def test_the_interval_is_student_s() -> None:
    values = [0.891, 0.902, 0.887, 0.899]
    found, series = spread(values), pd.Series(values)
    assert (found.mean, found.sd) == pytest.approx((series.mean(), series.std()))
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.interval == pytest.approx((low, high))


def test_one_seed_has_no_spread_and_equal_ones_have_none_left() -> None:
    alone = spread([0.9])
    assert alone.mean == 0.9
    assert all(math.isnan(value) for value in (alone.sd, *alone.interval))
    assert spread([0.5, 0.5]) == (0.5, 0.0, (0.5, 0.5))


@pytest.mark.parametrize(("values", "expected"), [([3], 0), ([3, 1, 2], 2), ([4, 1, 3, 2], 3), ([5, 5, 5], 1)])
def test_the_median_is_a_seed_that_was_run(values: list[float], expected: int) -> None:
    assert median_index(values) == expected
