"""Masked batches: of the batch without masks only the hidden tokens differ, however the texts are laid out."""

import numpy as np
import torch

from nsmc_lightning.data.batch import collate
from nsmc_lightning.data.encode import encode
from nsmc_lightning.data.loader import build_loader
from nsmc_lightning.data.masked_batch import MaskedDataset, WithEpoch
from nsmc_lightning.data.masking import Masking
from nsmc_lightning.data.sampler import StratifiedSampler
from nsmc_lightning.data.tokenizer import train_tokenizer
from nsmc_lightning.types import NO_TARGET, MaskedBatch
from tests.conftest import REVIEWS

TOKENIZER = train_tokenizer(REVIEWS, 120)
ENCODED = encode(TOKENIZER, REVIEWS, 20, with_eojeols=True)
MASKING = Masking(0.4, int(TOKENIZER.mask_token_id), np.arange(5, len(TOKENIZER)), seed=0)
RATINGS = np.linspace(0, 1, len(REVIEWS), dtype=np.float32)
ROWS = [3, 0, 9, 5]


def dataset(shape: tuple[int, int] | None) -> MaskedDataset:
    return MaskedDataset(ENCODED, RATINGS, 0, MASKING, shape)


def test_only_hidden_tokens_differ_from_the_texts_and_targets_are_these() -> None:
    for shape in (None, (2, 40)):
        batch, plain = dataset(shape)[2, ROWS], collate(ENCODED, None, ROWS, 0, shape)
        original, shown = plain.input_ids.flatten(), batch.input_ids.flatten()
        hidden = torch.zeros(len(original), dtype=torch.bool)
        hidden[batch.hidden[: batch.num_hidden]] = True
        assert torch.equal(shown[~hidden], original[~hidden])
        assert torch.equal(batch.targets[: batch.num_hidden], original[batch.hidden[: batch.num_hidden]])
        assert len(batch.hidden) == len(batch.targets) == 64
        assert set(batch.targets[batch.num_hidden :].tolist()) == {NO_TARGET}
        assert hidden.any()
        assert not torch.equal(shown, original)
        for name in ("rows", "attention_mask", "position_ids", "first_tokens", "num_tokens", "packed"):
            assert torch.equal(torch.as_tensor(getattr(batch, name)), torch.as_tensor(getattr(plain, name)))
        assert batch.ratings is not None
        assert batch.ratings.tolist() == RATINGS[ROWS].tolist()


def test_packed_and_padded_batches_hide_the_same_tokens_of_each_text() -> None:
    packed, padded = dataset((2, 40))[1, ROWS], dataset(None)[1, ROWS]
    assert packed.targets.tolist() == padded.targets.tolist()
    assert packed.input_ids.flatten()[packed.hidden].tolist() == padded.input_ids.flatten()[padded.hidden].tolist()
    assert packed.num_hidden == padded.num_hidden > 0


def batches(num_workers: int, skip: int = 0) -> list[MaskedBatch]:
    """Those of two epochs."""
    sampler = StratifiedSampler(ENCODED.lengths, 4, seed=0)
    sampler.resume_at(0, skip)
    numbered = WithEpoch(sampler)
    loader = build_loader(dataset((2, 40)), numbered, num_workers)
    result = []
    for epoch in (0, 1):
        numbered.set_epoch(epoch)
        result += list(loader)
    return result


def test_worker_processes_and_resumed_runs_hide_the_same_tokens_and_epochs_others() -> None:
    here = [batch.input_ids.tolist() for batch in batches(0)]
    assert [batch.input_ids.tolist() for batch in batches(1)] == here
    assert [batch.input_ids.tolist() for batch in batches(0, skip=2)] == here[2:]
    first, second = ({int(r): n for b in part for r, n in zip(b.rows, texts_of(b), strict=True)} for part in halves())
    assert first.keys() == second.keys()
    assert first != second


def halves() -> tuple[list[MaskedBatch], list[MaskedBatch]]:
    both = batches(0)
    return both[: len(both) // 2], both[len(both) // 2 :]


def texts_of(batch: MaskedBatch) -> list[list[int]]:
    """Token ids of each text of a batch."""
    return [
        batch.input_ids[batch.attention_mask == number].tolist() for number in range(1, 1 + len(batch.first_tokens))
    ]
