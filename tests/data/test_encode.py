"""Encoding: the tokenizer's ids, truncated to the maximum length."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.encode import Encoded, encode
from nsmc_lightning.data.tokenizer import train_tokenizer

TEXTS = ["정말 재미있는 영화였어요", "", "[SEP] 라고 쓴 리뷰", "아 지루해 " * 30]


def ids(encoded: Encoded, row: int) -> np.ndarray:
    return encoded.tokens[encoded.offsets[row] : encoded.offsets[row + 1]]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS * 5, vocab_size=120)


def test_ids_are_those_of_one_text_at_a_time(tokenizer) -> None:
    encoded = encode(tokenizer, TEXTS, max_length=16)
    for row, text in enumerate(TEXTS):
        one = tokenizer(text, truncation=True, max_length=16, split_special_tokens=True)["input_ids"]
        assert ids(encoded, row).tolist() == one


def test_truncation_keeps_the_closing_token_and_the_full_length(tokenizer) -> None:
    encoded = encode(tokenizer, TEXTS, max_length=16)
    assert ids(encoded, 3)[-1] == tokenizer.sep_token_id
    assert encoded.lengths[3] == 16
    assert encoded.full_lengths[3] == len(tokenizer(TEXTS[3])["input_ids"]) > 16


def test_a_special_token_spelled_out_stays_text(tokenizer) -> None:
    encoded = encode(tokenizer, TEXTS, max_length=16)
    assert (ids(encoded, 2) == tokenizer.sep_token_id).sum() == 1


def test_no_texts_give_no_tokens(tokenizer) -> None:
    encoded = encode(tokenizer, [], max_length=16)
    assert len(encoded.tokens) == 0
    assert encoded.offsets.tolist() == [0]
    assert np.array_equal(encoded.lengths, [])


@pytest.mark.parametrize(
    ("texts", "dtype"),
    [(["가장 흔한", "흔한"], np.uint16), (["드문 흔한", "흔한"], np.int32)],
    ids=["16 bits", "32 bits"],
)
def test_tokens_take_the_smallest_type_that_holds_their_ids(texts: list[str], dtype: type) -> None:
    ids = {"[UNK]": 0, "흔한": 1, "가장": 65_535, "드문": 65_536}
    backend = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    encoded = encode(PreTrainedTokenizerFast(tokenizer_object=backend), texts, max_length=16)
    assert encoded.tokens.dtype == dtype
    assert encoded.tokens.tolist() == [ids[word] for text in texts for word in text.split()]


def test_a_tokenizer_s_own_padding_is_ignored_and_truncation_is_reset(tokenizer) -> None:
    expected = encode(tokenizer, TEXTS, max_length=16)
    tokenizer.backend_tokenizer.enable_padding(length=64)
    encoded = encode(tokenizer, TEXTS, max_length=16)
    assert np.array_equal(encoded.tokens, expected.tokens)
    assert tokenizer.backend_tokenizer.truncation is None
