"""Attribution of a classifier that looks for two words."""

from collections.abc import Sequence

import numpy as np
import pytest

from nsmc_lightning.evaluation.attribution import leave_one_out


def looks_for(texts: Sequence[str]) -> np.ndarray:
    positive = np.array([0.3 + 0.6 * ("최고" in text) - 0.2 * ("글쎄" in text) for text in texts])
    return np.stack([1 - positive, positive], axis=1)


def test_words_for_and_against_the_prediction() -> None:
    found = leave_one_out(" 이 영화  글쎄 최고 !", looks_for)
    assert (found.label, found.eojeols) == (1, ["이", "영화", "글쎄", "최고", "!"])
    assert found.probability == pytest.approx(0.7)
    assert found.importance == pytest.approx([0, 0, -0.2, 0.6, 0])


def test_a_single_word_and_none() -> None:
    assert leave_one_out("최고", looks_for).importance == pytest.approx([0.6])
    assert leave_one_out("", looks_for).eojeols == []
