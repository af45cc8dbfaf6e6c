"""Padded batches; packed ones are in test_pack.py."""

import numpy as np

from nsmc_lightning.data.batch import ReviewDataset
from nsmc_lightning.data.encode import Encoded


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
