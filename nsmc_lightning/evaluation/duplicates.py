"""Texts that occur more than once: their labels within a part, and in a part that was there before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Repeats(NamedTuple):
    """The repeated texts of a part.

    Args:
        surplus: rows whose text another row has already.
        conflicting_texts: texts with more than one label.
        conflicting_rows: their rows.
        forced_errors: rows that any classifier must have wrong, as it gives a text one label.
    """

    surplus: int
    conflicting_texts: int
    conflicting_rows: int
    forced_errors: int


def label_counts(texts: np.ndarray, labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Count the rows of each text and label.

    *Shape:* ``texts`` and ``labels`` int (N,), numbers of a row's text and label; the result int (texts, labels).
    """
    return np.bincount(texts * shape[1] + labels, minlength=shape[0] * shape[1]).reshape(shape)


def repeats(counts: np.ndarray) -> Repeats:
    """Compute what repeats from :func:`label_counts`."""
    rows = counts.sum(axis=1)
    conflicting = (counts > 0).sum(axis=1) > 1
    return Repeats(
        surplus=int(rows.sum() - (rows > 0).sum()),
        conflicting_texts=int(conflicting.sum()),
        conflicting_rows=int(rows[conflicting].sum()),
        forced_errors=int((rows - counts.max(axis=1, initial=0)).sum()),
    )


def agreement(counts: np.ndarray, texts: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compare rows with an earlier part's labels of the same texts.

    Args:
        counts: of the earlier part, by :func:`label_counts`.
        texts: numbers of the rows' texts, int (N,); -1 has no label there.
        labels: the rows' labels, int (N,).

    Returns:
        float (N,): 1 where the label is that of most of the text's earlier rows, 0 where it is not, between where
        several labels are equally frequent, NaN where the earlier part lacks the text.
    """
    earlier = np.where((texts >= 0)[:, None], counts[texts], 0)
    most = earlier.max(axis=1, initial=0)
    chosen = earlier[np.arange(len(texts)), labels] == most
    shares = chosen / np.maximum((earlier == most[:, None]).sum(axis=1), 1)
    return np.where(most > 0, shares, np.nan)
