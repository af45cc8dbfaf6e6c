"""Near duplicates, compared with all pairs one by one."""

import random

import numpy as np
import pytest

from nsmc_lightning.evaluation.near import nearest


def ngrams(text: str, size: int) -> set[str]:
    return {text[i : i + size] for i in range(len(text) - size + 1)}


def jaccard(one: str, other: str, size: int) -> float:
    first, second = ngrams(one, size), ngrams(other, size)
    return len(first & second) / len(first | second) if first and second else 0.0


def texts_of(seed: int, longest: int, count: int) -> list[str]:
    """Random texts, half of them changed copies of others."""
    draw = random.Random(seed)
    texts = ["".join(draw.choices("가나다라마바사😀\ud800", k=draw.randint(0, longest))) for _ in range(count)]
    for text in texts[: count // 2]:
        place = draw.randint(0, len(text))
        texts.append(
            text[:place] + draw.choice(["", "나", "z" * draw.randint(1, 4)]) + text[place + draw.randint(0, 2) :]
        )
    return list(dict.fromkeys(texts))


@pytest.mark.parametrize("threshold", [0.3, 0.8, 1.0])
@pytest.mark.parametrize(("longest", "size"), [(30, 3), (400, 8)])
def test_the_nearest_text_of_each_part_is_found(longest: int, size: int, threshold: float) -> None:
    texts = texts_of(longest, longest, count=60)
    members = np.random.default_rng(0).random((2, len(texts))) < 0.6
    found = nearest(texts, members, threshold)
    near = 0
    for part in (0, 1):
        for i, text in enumerate(texts):
            others = [j for j in range(len(texts)) if j != i and members[part, j]]
            best = max((jaccard(text, texts[j], size) for j in others), default=0.0)
            if best < threshold:
                assert (found.similarity[part, i], found.text[part, i]) == (0, -1)
                continue
            near += 1
            assert found.similarity[part, i] == pytest.approx(best)
            other = int(found.text[part, i])
            assert members[part, other]
            assert jaccard(text, texts[other], size) == pytest.approx(best)
    assert near > 5 or threshold == 1


def test_many_texts_alike_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"이 상품을 구매하신 고객님의 번호는 {i:03} 입니다 감사합니다" for i in range(150)]
    whole = nearest(texts, np.ones((1, 150), dtype=bool))
    monkeypatch.setattr("nsmc_lightning.evaluation.near._BLOCK", 500)
    blocks = nearest(texts, np.ones((1, 150), dtype=bool))
    assert (whole.similarity > 0).all()
    np.testing.assert_array_equal(whole.similarity, blocks.similarity)


@pytest.mark.parametrize("texts", [[], ["가"], ["", "가"], ["가나", "가나다"]])
def test_texts_too_short_to_compare_have_none(texts: list[str]) -> None:
    found = nearest(texts, np.ones((1, len(texts)), dtype=bool))
    assert not found.similarity.any()
    assert (found.text == -1).all()
