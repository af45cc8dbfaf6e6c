"""Reviews that go together → one batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from nsmc_lightning.data.encode import Encoded
from nsmc_lightning.data.pack import first_fit
from nsmc_lightning.types import Batch


def collate(
    encoded: Encoded,
    labels: np.ndarray | None,
    rows: Sequence[int],
    pad_token_id: int,
    shape: tuple[int, int] | None = None,
) -> Batch:
    """Lays the reviews ``rows`` out in rows of token slots.

    Without ``shape`` each has a row to itself, padded to the longest. With it they are packed into so many rows of that
    width; should they not fit, there are more rows.

    *Shape:* ``labels`` int64 (all reviews,) or None; see :class:`~nsmc_lightning.types.Batch` for what comes back.
    """
    chosen = np.asarray(rows, dtype=np.int64)
    lengths = encoded.offsets[chosen + 1] - encoded.offsets[chosen]
    if shape is not None:
        width = shape[1]
        starts = np.asarray(first_fit(lengths.tolist(), width), dtype=np.int64)
        num_rows = max(shape[0], int(starts.max()) // width + 1)
    else:
        num_rows, width = len(chosen), int(lengths.max())
        starts = np.arange(num_rows, dtype=np.int64) * width
    # Every token at once: its review, its place in the review, its slot among all rows.
    review = np.repeat(np.arange(len(chosen)), lengths)
    place = np.arange(len(review)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    slot = starts[review] + place

    def spread(values: np.ndarray, padding: int) -> Tensor:
        slots = np.full(num_rows * width, padding, dtype=np.int64)
        slots[slot] = values
        return torch.from_numpy(slots).view(num_rows, width)

    return Batch(
        rows=torch.from_numpy(chosen),
        input_ids=spread(encoded.tokens[encoded.offsets[chosen][review] + place], pad_token_id),
        attention_mask=spread(review + 1, 0),
        labels=None if labels is None else torch.from_numpy(labels[chosen]),
        num_tokens=len(review),
        position_ids=spread(place, 0),
        first_tokens=torch.from_numpy(starts),
        packed=shape is not None,
    )


class ReviewDataset(Dataset[Batch]):
    """The reviews of one part; asked for a list of rows, it answers with their batch.

    Args:
        encoded: token ids of N reviews.
        labels: int64 (N,), or None.
        pad_token_id: the tokenizer's.
        shape: rows and their width that a batch is packed into; None pads each review to a row of its own.
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
