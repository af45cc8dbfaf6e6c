"""Reviews to a batch: padded, one review a row, or packed, several reviews end to end in a row."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from nsmc_lightning.data.encode import Encoded
from nsmc_lightning.types import Batch

_SLACK = 1.02  # slots per token: with fewer, first-fit would sometimes need another row
_STEP = 8  # widths are multiples of 8, as tensor cores prefer
_WIDER = 128  # how much wider than the longest review a row may be, to waste fewer slots


class ReviewDataset(Dataset[Batch]):
    """The reviews of one part; indexed with a list of rows it returns their batch.

    Args:
        encoded: token ids of N reviews.
        labels: int64 (N,), or None.
        pad_token_id: the tokenizer's padding id.
        shape: number and width of the rows that a batch is packed into; None pads each review in a row of its own.
    """

    def __init__(
        self,
        encoded: Encoded,
        labels: np.ndarray | None,
        pad_token_id: int,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self.encoded = encoded
        self.labels = labels
        self.pad_token_id = pad_token_id
        self.shape = shape

    def __len__(self) -> int:
        return len(self.encoded.full_lengths)

    def __getitem__(self, rows: Sequence[int]) -> Batch:
        return collate(self.encoded, self.labels, rows, self.pad_token_id, self.shape)


def collate(
    encoded: Encoded,
    labels: np.ndarray | None,
    rows: Sequence[int],
    pad_token_id: int,
    shape: tuple[int, int] | None = None,
) -> Batch:
    """Build the batch of the reviews ``rows``.

    Args:
        encoded: token ids of N reviews.
        labels: int64 (N,), or None.
        rows: indices of the batch's reviews, B of them.
        pad_token_id: fills the empty slots.
        shape: number and width of the rows to pack into; rows are added if the reviews do not fit. None pads.
    """
    chosen = np.asarray(rows, dtype=np.int64)
    lengths = encoded.offsets[chosen + 1] - encoded.offsets[chosen]
    starts, num_rows, width = _layout(lengths, shape)
    # For every token of the batch: its review, its position in the review, its slot among all rows.
    review = np.repeat(np.arange(len(chosen)), lengths)
    position = np.arange(len(review)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    slot = starts[review] + position

    def spread(values: np.ndarray, padding: int) -> Tensor:
        slots = np.full(num_rows * width, padding, dtype=np.int64)
        slots[slot] = values
        return torch.from_numpy(slots).view(num_rows, width)

    return Batch(
        rows=torch.from_numpy(chosen),
        input_ids=spread(encoded.tokens[encoded.offsets[chosen][review] + position], pad_token_id),
        attention_mask=spread(review + 1, 0),
        labels=None if labels is None else torch.from_numpy(labels[chosen]),
        num_tokens=len(review),
        position_ids=spread(position, 0),
        first_tokens=torch.from_numpy(starts),
        packed=shape is not None,
    )


def _layout(lengths: np.ndarray, shape: tuple[int, int] | None) -> tuple[np.ndarray, int, int]:
    """First slot of each review, int64 (B,), and the number and width of the rows."""
    if shape is None:
        width = int(lengths.max())
        return np.arange(len(lengths), dtype=np.int64) * width, len(lengths), width
    num_rows, width = shape
    starts = np.asarray(first_fit(lengths.tolist(), width), dtype=np.int64)
    return starts, max(num_rows, int(starts.max()) // width + 1), width


def row_shape(lengths: np.ndarray, batch_size: int) -> tuple[int, int]:
    """Choose the number and width of rows for packed batches: the fewest slots that leave first-fit a little room.

    Batches of a :class:`~nsmc_lightning.data.sampler.StratifiedSampler` have nearly equal numbers of tokens, so one
    shape serves them all.

    *Shape:* ``lengths`` int64 (N,), tokens of each review, N at least 1.
    """
    tokens = lengths.mean() * min(batch_size, len(lengths)) * _SLACK
    narrowest = max(_STEP, math.ceil(lengths.max() / _STEP) * _STEP)
    shapes = [(math.ceil(tokens / width), width) for width in range(narrowest, narrowest + _WIDER + 1, _STEP)]
    # Attention is computed over a row's width: of equally many slots, the narrow rows.
    return min(shapes, key=lambda shape: (shape[0] * shape[1], shape[1]))


def first_fit(lengths: Sequence[int], width: int) -> list[int]:
    """Pack reviews into rows by first-fit decreasing (Johnson 1973).

    The longest review comes first; each goes into the first row that has room for it.

    Returns:
        The first slot of each review among the slots of all rows.
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
