"""The eojeol of each token, against Python's split()."""

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.encode import encode
from nsmc_lightning.data.eojeol import eojeol_numbers
from nsmc_lightning.data.tokenizer import load_tokenizer, train_tokenizer
from tests.conftest import REVIEWS

TEXTS = [*REVIEWS[:4], "재밌다!", "재밌다 !", "", "a  b\u3000c", "탭\t과\n줄", "😀 이모지😀 ...", "ㅋㅋㅋㅋ"]


def expected(text: str, spans: list[tuple[int, int]]) -> list[int]:
    """The eojeol in which a token ends; one that is only the space before an eojeol belongs to that one."""
    numbers = []
    for start, end in spans:
        before = len(text[:end].split())
        numbers.append(before + 1 if not text[start:end].strip() else before)
    return numbers


def check(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> None:
    encodings = tokenizer.backend_tokenizer.encode_batch(texts)
    numbers = np.split(eojeol_numbers(texts, encodings), np.cumsum([len(one) for one in encodings]))
    for text, encoding, found in zip(texts, encodings, numbers, strict=False):
        inner = [i for i, flag in enumerate(encoding.special_tokens_mask) if not flag]
        assert found[[i for i in range(len(encoding)) if i not in inner]].tolist() == [0, 0]
        assert found[inner].tolist() == expected(text, [encoding.offsets[i] for i in inner]), text


def test_a_trained_wordpiece_vocabulary() -> None:
    check(train_tokenizer([*TEXTS, *REVIEWS], 200), TEXTS)


@pytest.mark.parametrize("name", ["models/e5-small-ko", "tokenizers/kobert", "tokenizers/klue"])
def test_published_vocabularies(shared: Path, name: str) -> None:
    lines = (shared / "nsmc" / "ratings_train.txt").read_text(encoding="utf-8").splitlines()[1:300]
    texts = [line.split("\t")[1].strip() for line in lines]
    check(load_tokenizer(str(shared / name)), [*TEXTS, *texts])


def test_words_that_tokens_do_not_show() -> None:
    tokenizer = train_tokenizer(TEXTS * 2, 200)
    one, two = (encode(tokenizer, [text], 20, with_eojeols=True) for text in ("재밌다!", "재밌다 !"))
    assert one.tokens.tolist() == two.tokens.tolist()
    assert one.eojeols is not None
    assert two.eojeols is not None
    assert (one.eojeols.max(), two.eojeols.max()) == (1, 2)
    assert encode(tokenizer, ["재밌다!"], 20).eojeols is None
