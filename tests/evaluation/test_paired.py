"""McNemar's test against its definition."""

import numpy as np
import pytest
from scipy.stats import binom

from nsmc_lightning.evaluation.paired import mcnemar


def test_mcnemar_is_the_exact_binomial_test_on_rows_that_one_has_right() -> None:
    first = np.repeat([True, True, False, False], [50, 9, 2, 4])
    second = np.repeat([True, False, True, False], [50, 9, 2, 4])
    found = mcnemar(first, second)
    assert found[:4] == (50, 9, 2, 4)
    assert found.p_value == pytest.approx(2 * binom.cdf(2, 11, 0.5))


def test_equal_classifiers_do_not_differ() -> None:
    assert mcnemar(np.ones(3, bool), np.ones(3, bool)).p_value == 1
