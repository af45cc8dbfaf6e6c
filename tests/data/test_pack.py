"""Packing: every review whole, in a row of its own slots, and few slots empty."""

import numpy as np
import pytest

from nsmc_lightning.data.batch import PackedReviews, ReviewDataset
from nsmc_lightning.data.encode import Encoded
from nsmc_lightning.data.pack import first_fit, row_shape
from nsmc_lightning.data.sampler import StratifiedSampler

# As NSMC's: median 18 tokens, mean 23, the longest at 128.
LENGTHS = np.clip(np.random.default_rng(0).lognormal(2.9, 0.7, size=20_000), 3, 128).astype(np.int64)


def encoded_of(lengths: list[int]) -> Encoded:
    """Reviews of those lengths; no two tokens have the same id."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Encoded(np.arange(offsets[-1], dtype=np.int32), offsets, np.asarray(lengths, np.int32))


def test_first_fit_decreasing() -> None:
    # Johnson's order: 6, 5, 4, 3, 2 into rows of 10: [6, 4], [5, 3, 2].
    assert first_fit([3, 6, 2, 5, 4], 10) == [15, 0, 18, 10, 6]


@pytest.mark.parametrize("shape", [(3, 16), (1, 16)], ids=["with rows to spare", "with too few rows"])
def test_packed_reviews_come_out_as_they_went_in(shape: tuple[int, int]) -> None:
    lengths = [5, 16, 3, 7, 9]
    encoded = encoded_of(lengths)
    rows = [4, 0, 3, 1]
    batch = PackedReviews(ReviewDataset(encoded, np.arange(5) % 2, pad_token_id=99), shape)[rows]
    assert batch.input_ids.shape == (3, 16)
    assert batch.position_ids is not None
    assert batch.first_tokens is not None
    assert batch.labels is not None
    for i, row in enumerate(rows):
        slots = (batch.attention_mask.flatten() == i + 1).nonzero().flatten()
        assert slots.tolist() == list(range(slots[0], slots[0] + lengths[row]))
        assert slots[0] == batch.first_tokens[i]
        assert slots[0] // 16 == slots[-1] // 16
        assert batch.input_ids.flatten()[slots].tolist() == encoded.ids(row).tolist()
        assert batch.position_ids.flatten()[slots].tolist() == list(range(lengths[row]))
    empty = batch.attention_mask == 0
    assert batch.num_tokens == int((~empty).sum()) == 37
    assert (batch.input_ids[empty] == 99).all()
    assert batch.labels.tolist() == [0, 0, 1, 1]
    assert batch.rows.tolist() == rows


@pytest.mark.parametrize(("batch_size", "most"), [(32, 0.08), (256, 0.03)])
def test_few_slots_are_empty_and_all_batches_have_one_shape(batch_size: int, most: float) -> None:
    shape = row_shape(LENGTHS, batch_size)
    data = PackedReviews(ReviewDataset(encoded_of(LENGTHS.tolist()), None, 0), shape)
    batches = [data[rows] for rows in StratifiedSampler(LENGTHS, batch_size, seed=0)]
    assert sum(batch.input_ids.shape != shape for batch in batches) <= 1
    full = [batch for batch in batches if len(batch.rows) == batch_size]
    assert len(full) == 20_000 // batch_size
    assert 1 - sum(batch.num_tokens for batch in full) / sum(batch.input_ids.numel() for batch in full) <= most


@pytest.mark.parametrize(("lengths", "batch_size"), [([3], 32), ([512] * 5, 2), ([1, 1, 40], 2)])
def test_rows_are_as_wide_as_the_longest_review(lengths: list[int], batch_size: int) -> None:
    rows, width = row_shape(np.asarray(lengths), batch_size)
    assert rows >= 1
    assert width >= max(lengths)
    assert width % 8 == 0
