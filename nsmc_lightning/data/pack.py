"""Reviews end to end in rows of one width."""

import math
from collections.abc import Sequence

import numpy as np

_SLACK = 1.02  # slots for each token: with less, first-fit would now and then need a row more
_STEP = 8  # widths are multiples of it, as tensor cores like them
_WIDER = 128  # how much wider than the longest review a row may be, to waste fewer slots


def row_shape(lengths: np.ndarray, batch_size: int) -> tuple[int, int]:
    """Rows and their width for batches of ``batch_size`` reviews: the fewest slots that leave first-fit a little room.

    Batches of a :class:`~nsmc_lightning.data.sampler.StratifiedSampler` have nearly equal numbers of tokens, so one
    shape serves them all.

    *Shape:* ``lengths`` int64 (N,), tokens of each review, N at least 1.
    """
    tokens = lengths.mean() * min(batch_size, len(lengths)) * _SLACK
    narrowest = max(_STEP, math.ceil(lengths.max() / _STEP) * _STEP)
    shapes = [(math.ceil(tokens / width), width) for width in range(narrowest, narrowest + _WIDER + 1, _STEP)]
    # Attention is computed over the width of a row: of equal shapes the narrow one.
    return min(shapes, key=lambda shape: (shape[0] * shape[1], shape[1]))


def first_fit(lengths: Sequence[int], width: int) -> list[int]:
    """Where each review starts among the slots of all rows, by first-fit decreasing (Johnson 1973).

    The longest review goes first, each into the first row that has room for it.
    """
    free: list[int] = []
    starts = [0] * len(lengths)
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[i]
        row = next((row for row, room in enumerate(free) if room >= length), len(free))
        if row == len(free):
            free.append(width)
        starts[i] = (row + 1) * width - free[row]
        free[row] -= length
    return starts
