"""Masked texts to a batch, the same in every worker process and in a resumed run."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from nsmc_lightning.data.batch import collate
from nsmc_lightning.data.encode import Encoded
from nsmc_lightning.data.masking import Masking, mask_text
from nsmc_lightning.data.sampler import EvalSampler, TrainSampler
from nsmc_lightning.types import NO_TARGET, MaskedBatch

# Numbers of hidden tokens are filled up to multiples of this: tensors of ever other sizes would fragment the memory of
# a process on a CPU, which then needs new pages at each step.
_STEP = 64


class MaskedDataset(Dataset[MaskedBatch]):
    """The texts of one part; indexed with an epoch and a list of rows it returns their masked batch.

    Args:
        encoded: token ids of N texts, with their eojeols.
        ratings: float32 (N,) from 0 to 1, NaN where a text has none; None without ratings.
        pad_token_id: the tokenizer's padding id.
        masking: how tokens are hidden.
        shape: number and width of the rows that a batch is packed into; None pads each text in a row of its own.
    """

    def __init__(
        self,
        encoded: Encoded,
        ratings: np.ndarray | None,
        pad_token_id: int,
        masking: Masking,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self.encoded = encoded
        self.ratings = ratings
        self.pad_token_id = pad_token_id
        self.masking = masking
        self.shape = shape

    def __len__(self) -> int:
        return len(self.encoded.full_lengths)

    def __getitem__(self, index: tuple[int, Sequence[int]]) -> MaskedBatch:
        epoch, rows = index
        batch = collate(self.encoded, self.ratings, rows, self.pad_token_id, self.shape)
        hidden, targets = [], []
        for row, first in zip(rows, batch.first_tokens.tolist(), strict=True):
            tokens, eojeols = self._text(row)
            masked = mask_text(tokens, eojeols, row, epoch, self.masking)
            batch.input_ids.view(-1)[first : first + len(tokens)] = torch.from_numpy(masked.shown)
            hidden.append(first + np.flatnonzero(masked.hidden))
            targets.append(tokens[masked.hidden].astype(np.int64))
        num_hidden = sum(map(len, hidden))
        filling = -num_hidden % _STEP
        return MaskedBatch(
            rows=batch.rows,
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            num_tokens=batch.num_tokens,
            position_ids=batch.position_ids,
            first_tokens=batch.first_tokens,
            packed=batch.packed,
            hidden=torch.from_numpy(np.concatenate([*hidden, np.zeros(filling, dtype=np.int64)])),
            targets=torch.from_numpy(np.concatenate([*targets, np.full(filling, NO_TARGET)])),
            num_hidden=num_hidden,
            ratings=batch.labels,
        )

    def _text(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        assert self.encoded.eojeols is not None, "encoded with them"
        place = slice(self.encoded.offsets[row], self.encoded.offsets[row + 1])
        return self.encoded.tokens[place], self.encoded.eojeols[place]


class WithEpoch(Sampler[tuple[int, list[int]]]):
    """The batches of another sampler, each with its epoch, which worker processes are not told otherwise.

    A sampler without epochs is always in epoch 0: every validation hides the same tokens.
    """

    def __init__(self, sampler: TrainSampler | EvalSampler) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        for rows in self.sampler:
            yield (self.sampler.epoch if isinstance(self.sampler, TrainSampler) else 0), rows

    def set_epoch(self, epoch: int) -> None:
        """Set the other sampler's epoch; Lightning calls it at the start of each, and before validations."""
        if isinstance(self.sampler, TrainSampler):
            self.sampler.set_epoch(epoch)
