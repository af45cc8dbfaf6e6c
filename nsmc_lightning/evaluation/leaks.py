"""Test rows whose text is among those of train: what a model remembers must not count as what it understands."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

VERBATIM, NORMALISED = "verbatim", "normalised"
"""How texts are compared: as they are, or by their letters and digits only."""


def leaks(
    test: Sequence[str], test_keys: Sequence[str], train: Collection[str], train_keys: Collection[str]
) -> dict[str, np.ndarray]:
    """Find the test rows that are in train and those that are not, bool (N,) by name.

    Args:
        test: the texts of N test rows.
        test_keys: the same normalised, so that texts with equal letters and digits are equal.
        train: the texts of train.
        train_keys: the same normalised.
    """
    found: dict[str, np.ndarray] = {}
    for how, texts, others in ((VERBATIM, test, train), (NORMALISED, test_keys, train_keys)):
        known = set(others)
        shared = np.array([text in known for text in texts], dtype=bool)
        found |= {f"not in train, {how}": ~shared, f"in train, {how}": shared}
    return found
