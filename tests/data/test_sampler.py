"""Samplers: order and composition of batches; test_properties.py tests that every review comes once."""

import numpy as np
import pytest

from nsmc_lightning.data.sampler import EvalSampler, LengthGroupedSampler, StratifiedSampler, TrainSampler

SAMPLERS = [StratifiedSampler, LengthGroupedSampler]
LENGTHS = np.random.default_rng(0).integers(3, 60, size=1003)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_order_depends_on_seed_and_epoch_only(kind: type[TrainSampler]) -> None:
    sampler = kind(LENGTHS, batch_size=32, seed=1)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(kind(LENGTHS, batch_size=32, seed=2)) != first


@pytest.mark.parametrize("kind", SAMPLERS)
def test_ranks_share_the_reviews_of_a_single_one(kind: type[TrainSampler]) -> None:
    one = list(kind(LENGTHS[:1002], 32, seed=3))
    ranks = [list(kind(LENGTHS[:1002], 16, seed=3, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*ranks, strict=True)] == [sorted(batch) for batch in one]


def test_stratified_batches_are_alike_on_every_rank() -> None:
    lengths = np.random.default_rng(1).geometric(1 / 20, size=20_000)
    ranks = [list(StratifiedSampler(lengths, 32, seed=0, rank=rank, world_size=2)) for rank in (0, 1)]
    tokens = np.asarray([lengths[batch].sum() for batches in ranks for batch in batches if len(batch) == 32])
    assert len(tokens) == 2 * (20_000 // 64)
    assert np.percentile(tokens, 90) - tokens.min() < 0.02 * tokens.mean()  # of random batches: 0.7 of their mean


def test_stratified_batches_are_random() -> None:
    first, second = (list(StratifiedSampler(LENGTHS[:1000], 8, seed=seed)) for seed in (0, 1))
    pairs = [{(a, b) for batch in batches for a in batch for b in batch if a < b} for batches in (first, second)]
    # 125 batches of 28 pairs; only the longest reviews are placed by a rule.
    assert len(pairs[0] & pairs[1]) < 0.05 * len(pairs[0])


def test_length_groups() -> None:
    lengths = np.random.default_rng(1).geometric(1 / 20, size=20_000)
    batches = list(LengthGroupedSampler(lengths, batch_size=32, seed=0))
    computed = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert computed / lengths.sum() < 1.15  # random batches compute about 4 tokens for each real one
    means = [lengths[batch].mean() for batch in batches]
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.1  # and short ones do not come first


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_eval_sampler_gives_every_review_once_over_all_ranks(world_size: int) -> None:
    ranks = [EvalSampler(LENGTHS, 600, rank, world_size) for rank in range(world_size)]
    rows = [row for sampler in ranks for batch in sampler for row in batch]
    assert sorted(rows) == list(range(1003))
    assert LENGTHS[next(iter(ranks[0]))[0]] == LENGTHS.max()


def test_every_rank_gets_a_batch_of_few_reviews() -> None:
    ranks = [list(EvalSampler(LENGTHS[:5], 9999, rank, 3)) for rank in range(3)]
    assert all(ranks)
    assert sorted(row for batches in ranks for batch in batches for row in batch) == list(range(5))


@pytest.mark.parametrize("max_tokens", [1, 100, 5000])
def test_eval_batches_keep_to_the_budget(max_tokens: int) -> None:
    for batch in EvalSampler(LENGTHS, max_tokens):
        assert len(batch) == 1 or len(batch) * LENGTHS[batch].max() <= max_tokens


@pytest.mark.parametrize("count", [300, 1003])
def test_few_slots_of_eval_batches_are_padding(count: int) -> None:
    lengths = np.clip(np.random.default_rng(0).lognormal(2.9, 0.7, size=count), 3, 128).astype(np.int64)
    batches = list(EvalSampler(lengths, 8192))
    slots = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert slots < 1.15 * lengths.sum()
    assert len(batches) < 1 + slots / 400  # and they are not all tiny
