"""The row of a test's report for a classifier without pretraining."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsmc_lightning.callbacks.report_tables import Baseline

if TYPE_CHECKING:
    import numpy as np

    from nsmc_lightning.data.parts import Parts


def baseline_row(parts: Parts, numbers: np.ndarray) -> Baseline:
    """Compute the scores of character n-grams with logistic regression on rows of the test part.

    Args:
        parts: the corpus; the baseline is fitted to train with a setting chosen on dev, and its answers are kept in the
            cache.
        numbers: the rows, int (N,).

    Raises:
        UserError: a part's file is missing or broken.
    """
    from nsmc_lightning.evaluation.scores import scores  # imports scipy, which --help can spare
    from nsmc_lightning.run.baseline import baseline_of

    return Baseline("TF-IDF, all of train", scores(baseline_of(parts, ["test"])["test"].answers.part(numbers)))
