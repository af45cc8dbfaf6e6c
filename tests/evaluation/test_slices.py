"""Slices by how a text is written: texts that belong to each, and near ones that do not."""

import numpy as np
import pytest

from nsmc_lightning.evaluation.slices import SLICES, length_bands, slices

IN = {
    "negation": (
        "재미 안 남|안봤다|진짜 안좋아|말이안되는 영화|이해 못함|못 보겠다|끝까지 보지못했다|나쁘지 않다|재미없음"
        "|영화가 아니다|최고는 아님|절대 보지마|보지 마세요|믿지 말 것|이거 말고 저거"
    ),
    "contrast": "지루하지만 좋다|재밌는데 왜|좋은데?|근데 별로|하지만 졸작|볼만했다만|좋으나 짧다",
    "laughter": "ㅋㅋ|재밌다ㅎㅎㅎ|굿ㅋㅎ",
    "tears": "ㅠㅠ|슬퍼요ㅜㅜ|ㅜㅠ",
    "only jamo": "ㅋㅋㅋ|ㅇㅈ!! ㅇㅇ|ㅠ.ㅠ|10 ㄱㄱ",
    "no spaces": "아주재미있는영화였습니다|abcdefghijk",
    "Latin letters": "CG가 좋다|good|ＯＳＴ",
}
OUT = {
    "negation": (
        "안녕하세요|안내상 연기|집안에서 봄|가슴 안에|안경 쓴|안타깝다|불안한 마음|편안하게 봄|잘못 골랐다|못생긴 배우"
        "|괜찮다|귀찮다|피아니스트|아니 왜 이래|정말고마운 영화|별로|전혀"
    ),
    "contrast": "끝까지만 좋다|가운데|재미있다|데이트",
    "laughter": "ㅋ|ㅋ ㅋ|하하",
    "tears": "ㅠ|ㅠ_ㅜ",
    "only jamo": "ㅋㅋ 굿|...|ㅋㅋ lol|10점",
    "no spaces": "재미있는영화였다|아주 재미있는 영화였습니다",
    "Latin letters": "영화 10점|ㅋㅋ",
}


@pytest.mark.parametrize("name", SLICES)
def test_texts_of_a_slice(name: str) -> None:
    assert [text for text in IN[name].split("|") if not slices([text])[name].all()] == []
    assert [text for text in OUT[name].split("|") if slices([text])[name].any()] == []


def test_bands_hold_every_text_once() -> None:
    texts = ["가" * length for length in (1, 10, 11, 20, 21, 40, 41, 80, 81, 160, 161, 5000)]
    bands = length_bands(texts)
    assert list(bands) == ["1–10", "11–20", "21–40", "41–80", "81–160", "161 and more"]
    assert np.stack(list(bands.values())).astype(int).tolist() == np.repeat(np.eye(6, dtype=int), 2, axis=1).tolist()
