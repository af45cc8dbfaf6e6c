"""Which reviews go together, and how they become one batch."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from nsmc_lightning.data.encode import Encoded
from nsmc_lightning.types import Batch

_WINDOW = 50  # batches that are sorted by length together, as transformers' length grouping does


def collate(encoded: Encoded, labels: np.ndarray | None, rows: Sequence[int], pad_token_id: int) -> Batch:
    """Pads the reviews ``rows`` to the longest of them.

    *Shape:* ``labels`` int64 (all reviews,) or None; see :class:`~nsmc_lightning.types.Batch` for what comes back.
    """
    width = int(max(encoded.lengths[row] for row in rows))
    input_ids = np.full((len(rows), width), pad_token_id, dtype=np.int64)
    attention_mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids = encoded.ids(row)
        input_ids[i, : len(ids)] = ids
        attention_mask[i, : len(ids)] = 1
    chosen = np.asarray(rows, dtype=np.int64)
    return Batch(
        rows=torch.from_numpy(chosen),
        input_ids=torch.from_numpy(input_ids),
        attention_mask=torch.from_numpy(attention_mask),
        labels=None if labels is None else torch.from_numpy(labels[chosen]),
    )


class ReviewDataset(Dataset[Batch]):
    """The reviews of one part; asked for a list of rows, it answers with their batch."""

    def __init__(self, encoded: Encoded, labels: np.ndarray | None, pad_token_id: int) -> None:
        self.encoded = encoded
        self.labels = labels
        self.pad_token_id = pad_token_id

    def __len__(self) -> int:
        return len(self.encoded.full_lengths)

    def __getitem__(self, rows: Sequence[int]) -> Batch:
        return collate(self.encoded, self.labels, rows, self.pad_token_id)


class TrainSampler(Sampler[list[int]]):
    """Random batches of reviews of like length; every rank gets the same number of batches.

    Reviews are shuffled, sorted by length within windows of 50 batches, cut into batches, and the batches shuffled.
    The order depends on ``seed`` and the epoch alone. Of the last reviews, fewer than ``world_size`` are left out of an
    epoch where they cannot give every rank one.

    Args:
        lengths: tokens of each review, (N,).
        batch_size: reviews a batch and rank.
        seed: of the order; the same on every rank.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.lengths = lengths
        # Not called batch_size: Lightning would take the sampler for one that it may rebuild.
        self.reviews_per_batch = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        step = self.reviews_per_batch * self.world_size
        whole, rest = divmod(len(self.lengths), step)
        return whole + int(rest >= self.world_size)

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        step = self.reviews_per_batch * self.world_size
        order = random.permutation(len(self.lengths))
        windows = [order[i : i + step * _WINDOW] for i in range(0, len(order), step * _WINDOW)]
        by_length = np.concatenate([w[np.argsort(self.lengths[w], kind="stable")] for w in windows])
        batches = [by_length[i * step : (i + 1) * step] for i in range(len(self))]
        for i in random.permutation(len(batches)):
            yield batches[i][self.rank :: self.world_size].tolist()


class EvalSampler(Sampler[list[int]]):
    """All reviews once, in batches of like length, dealt out to the ranks in turn.

    The longest batch comes first, so that memory that does not suffice shows at once; the others come in a random order
    that is always the same, so that a limit on batches does not pick the long reviews, nor the clock mislead. Batches
    are smaller than ``batch_size`` where some rank would have none.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        order = np.argsort(-lengths, kind="stable")
        batch_size = max(1, min(batch_size, len(order) // world_size))
        batches = [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]
        rest = np.random.default_rng(0).permutation(np.arange(1, len(batches)))
        self.batches: list[list[int]] = [batches[i] for i in [0, *rest] if i < len(batches)][rank::world_size]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)
