"""Batches: what padded ones contain, and that packed ones leave few slots empty; test_properties.py has the rest."""

import numpy as np
import pytest

from nsmc_lightning.data.batch import ReviewDataset, first_fit, row_shape
from nsmc_lightning.data.encode import Encoded
from nsmc_lightning.data.sampler import StratifiedSampler

# Like NSMC's: median 18 tokens, mean 23, the longest 128.
LENGTHS = np.clip(np.random.default_rng(0).lognormal(2.9, 0.7, size=20_000), 3, 128).astype(np.int64)


def encoded_of(lengths: list[int]) -> Encoded:
    """Reviews of those lengths."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Encoded(np.arange(offsets[-1], dtype=np.int32), offsets, np.asarray(lengths, np.int32))


def test_batches_pad_with_the_given_id_and_mask_it() -> None:
    encoded = Encoded(np.array([2, 7, 3, 2, 8, 9, 3], np.int32), np.array([0, 3, 7]), np.array([3, 4], np.int32))
    batch = ReviewDataset(encoded, np.array([0, 1]), pad_token_id=1)[[1, 0]]
    assert batch.input_ids.tolist() == [[2, 8, 9, 3], [2, 7, 3, 1]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [2, 2, 2, 0]]
    assert batch.num_tokens == 7
    assert batch.position_ids.tolist() == [[0, 1, 2, 3], [0, 1, 2, 0]]
    assert batch.first_tokens.tolist() == [0, 4]
    assert not batch.packed
    assert batch.rows.tolist() == [1, 0]
    assert batch.labels is not None
    assert batch.labels.tolist() == [1, 0]


def test_first_fit_decreasing() -> None:
    # Johnson's order: 6, 5, 4, 3, 2 into rows of 10: [6, 4], [5, 3, 2].
    assert first_fit([3, 6, 2, 5, 4], 10) == [15, 0, 18, 10, 6]


@pytest.mark.parametrize(("batch_size", "most"), [(32, 0.08), (256, 0.03)])
def test_few_slots_are_empty_and_all_batches_have_one_shape(batch_size: int, most: float) -> None:
    shape = row_shape(LENGTHS, batch_size)
    data = ReviewDataset(encoded_of(LENGTHS.tolist()), None, 0, shape)
    batches = [data[rows] for rows in StratifiedSampler(LENGTHS, batch_size, seed=0)]
    assert sum(batch.input_ids.shape != shape for batch in batches) <= 1
    full = [batch for batch in batches if len(batch.rows) == batch_size]
    assert len(full) == 20_000 // batch_size
    assert 1 - sum(batch.num_tokens for batch in full) / sum(batch.input_ids.numel() for batch in full) <= most


@pytest.mark.parametrize(("lengths", "batch_size"), [([3], 32), ([512] * 5, 2), ([1, 1, 40], 2)])
def test_rows_are_at_least_as_wide_as_the_longest_review(lengths: list[int], batch_size: int) -> None:
    rows, width = row_shape(np.asarray(lengths), batch_size)
    assert rows >= 1
    assert width >= max(lengths)
    assert width % 8 == 0
