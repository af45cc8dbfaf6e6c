"""Which tokens are hidden: whole eojeols, at the given rate, by seed, epoch and text."""

import numpy as np

from nsmc_lightning.data.masking import Masked, Masking, mask_text

MASK, FIRST, SIZE = 4, 5, 500
MASKING = Masking(0.25, MASK, np.arange(FIRST, SIZE), seed=1)
EOJEOLS = np.array([0, 1, 1, 2, 3, 3, 3, 4, 5, 5, 0], dtype=np.uint16)
TOKENS = np.arange(100, 100 + len(EOJEOLS)).astype(np.uint16)


def many(number: int = 4000) -> list[Masked]:
    return [mask_text(TOKENS, EOJEOLS, text, 0, MASKING) for text in range(number)]


def test_an_eojeol_is_hidden_as_a_whole_and_special_tokens_never() -> None:
    for masked in many(200):
        assert not masked.hidden[[0, -1]].any()
        for number in range(1, 6):
            assert len(set(masked.hidden[number == EOJEOLS])) == 1
        assert masked.shown[~masked.hidden].tolist() == TOKENS[~masked.hidden].tolist()


def test_rates_are_those_asked_for() -> None:
    hidden = np.concatenate([masked.hidden for masked in many()])
    shown = np.concatenate([masked.shown for masked in many()])[hidden]
    tokens = np.tile(TOKENS, 4000)[hidden]
    assert abs(hidden.mean() * len(EOJEOLS) / 9 - 0.25) < 0.01  # 9 of the tokens belong to an eojeol
    assert abs((shown == MASK).mean() - 0.8) < 0.02
    assert abs((shown == tokens).mean() - 0.1) < 0.02
    assert shown.min() >= MASK
    assert shown.max() < SIZE


def test_what_is_hidden_depends_on_seed_epoch_and_text() -> None:
    one = mask_text(TOKENS, EOJEOLS, 7, 3, MASKING)
    assert np.array_equal(one.shown, mask_text(TOKENS, EOJEOLS, 7, 3, MASKING).shown)
    others = [
        mask_text(TOKENS, EOJEOLS, 8, 3, MASKING),
        mask_text(TOKENS, EOJEOLS, 7, 4, MASKING),
        mask_text(TOKENS, EOJEOLS, 7, 3, MASKING._replace(seed=2)),
    ]
    assert not any(np.array_equal(one.shown, other.shown) for other in others)
