"""Batches: every review once, ranks in step, padding masked."""

import numpy as np
import pytest

from nsmc_lightning.data.batch import EvalSampler, ReviewDataset, TrainSampler
from nsmc_lightning.data.encode import Encoded

LENGTHS = np.random.default_rng(0).integers(3, 60, size=1003)


def test_train_sampler_gives_every_review_once_an_epoch() -> None:
    sampler = TrainSampler(LENGTHS, batch_size=32, seed=1)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 32
    assert sorted(row for batch in batches for row in batch) == list(range(1003))


def test_train_sampler_order_follows_seed_and_epoch_alone() -> None:
    sampler = TrainSampler(LENGTHS, batch_size=32, seed=1)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(TrainSampler(LENGTHS, batch_size=32, seed=2)) != first


@pytest.mark.parametrize("count", [1003, 64, 65, 66])
def test_train_sampler_keeps_ranks_in_step(count: int) -> None:
    ranks = [list(TrainSampler(LENGTHS[:count], 16, seed=3, rank=rank, world_size=2)) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1]) == len(TrainSampler(LENGTHS[:count], 16, seed=3, world_size=2))
    assert all(len(a) - len(b) in (0, 1) and b for a, b in zip(*ranks, strict=True))
    rows = [row for batches in ranks for batch in batches for row in batch]
    assert len(rows) == len(set(rows)) >= count - 1


def test_train_sampler_groups_by_length() -> None:
    lengths = np.random.default_rng(1).geometric(1 / 20, size=20_000)
    batches = list(TrainSampler(lengths, batch_size=32, seed=0))
    computed = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert computed / lengths.sum() < 1.15  # random batches compute about 4 tokens for each real one
    means = [lengths[batch].mean() for batch in batches]
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.1  # and short ones do not come first


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_eval_sampler_gives_every_review_once_over_all_ranks(world_size: int) -> None:
    ranks = [EvalSampler(LENGTHS, 32, rank, world_size) for rank in range(world_size)]
    rows = [row for sampler in ranks for batch in sampler for row in batch]
    assert sorted(rows) == list(range(1003))
    assert LENGTHS[next(iter(ranks[0]))[0]] == LENGTHS.max()


def test_every_rank_gets_a_batch_of_few_reviews() -> None:
    ranks = [list(EvalSampler(LENGTHS[:5], 128, rank, 3)) for rank in range(3)]
    assert all(ranks)
    assert sorted(row for batches in ranks for batch in batches for row in batch) == list(range(5))


def test_batches_pad_with_the_given_id_and_mask_it() -> None:
    encoded = Encoded(np.array([2, 7, 3, 2, 8, 9, 3], np.int32), np.array([0, 3, 7]), np.array([3, 4], np.int32))
    batch = ReviewDataset(encoded, np.array([0, 1]), pad_token_id=1)[[1, 0]]
    assert batch.input_ids.tolist() == [[2, 8, 9, 3], [2, 7, 3, 1]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch.rows.tolist() == [1, 0]
    assert batch.labels is not None
    assert batch.labels.tolist() == [1, 0]
