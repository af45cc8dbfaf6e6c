"""Which words of a text a prediction rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Attribution(NamedTuple):
    """A prediction, and how much each eojeol (word between spaces) adds to its probability.

    *Shape:* ``importance`` float (E,), for the E eojeols in order.
    """

    label: int
    probability: float
    eojeols: list[str]
    importance: np.ndarray


def leave_one_out(text: str, probabilities: Callable[[Sequence[str]], np.ndarray]) -> Attribution:
    """Compute how much the predicted class's probability falls if an eojeol is left out (Li et al. 2016, 1612.08220).

    An importance below 0 speaks against the prediction. Of two words that say the same, neither may seem important.

    Args:
        text: the text.
        probabilities: texts → the probability of each class, float (N, C).
    """
    eojeols = text.split()
    without = [" ".join(eojeols[:number] + eojeols[number + 1 :]) for number in range(len(eojeols))]
    found = np.asarray(probabilities([text, *without]))
    label = int(found[0].argmax())
    return Attribution(label, float(found[0, label]), eojeols, found[0, label] - found[1:, label])
