"""Cutting a vocabulary: the texts that it was cut to are split as before, one at a time, by the original tokenizer."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from nsmc_lightning.data.clean import clean_text
from nsmc_lightning.data.tokenizer import load_tokenizer
from nsmc_lightning.data.vocabulary import (
    Used,
    cut_tokenizer,
    kept_pieces,
    refuse_other_models,
    split_otherwise,
    used_pieces,
)
from nsmc_lightning.errors import UserError

BACKBONES = [
    "models/e5-small-ko",
    *(f"tokenizers/{name}" for name in ("kobert", "klue", "kcbert", "koelectra", "mbert")),
]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Unknown characters and words, special tokens spelled out, line breaks, decomposed Hangul, a word that is too long.
ODD = ["\U0001fae0 뷁뷁 𠮷野家", "a[SEP]b <s> [MASK]</s>", "한 줄\n두 줄\t\x00", "가각", "ㅋ" * 300, "", "..!?"]


@pytest.fixture(scope="module")
def reviews(shared: Path) -> list[str]:
    texts = pd.read_csv(shared / "nsmc" / "ratings_train.txt", sep="\t")["document"].dropna().tolist()
    return [clean_text(text) for text in random.Random(0).sample(texts, 700)]


def cut(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], folder: Path
) -> tuple[PreTrainedTokenizerFast, np.ndarray]:
    """The tokenizer cut to texts as transformers loads it, and the ids that stayed."""
    kept = kept_pieces(tokenizer, used_pieces(tokenizer, texts).pieces, special=())
    folder.mkdir(exist_ok=True)
    for name, content in cut_tokenizer(tokenizer, kept).items():
        (folder / name).write_text(content, encoding="utf-8")
    return AutoTokenizer.from_pretrained(str(folder)), kept


def pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_texts_are_split_as_before(shared: Path, reviews: list[str], tmp_path: Path, backbone: str) -> None:
    whole = load_tokenizer(str(shared / backbone))
    texts = [*reviews[:400], *map(clean_text, ODD)]
    trimmed, kept = cut(whole, texts, tmp_path / "cut")
    assert len(trimmed) == len(kept) < len(whole)
    for same in (trimmed, load_tokenizer(str(tmp_path / "cut"))):
        assert [pieces(same, text) for text in texts] == [pieces(whole, text) for text in texts]
    for role in ("pad", "unk", "cls", "sep", "mask"):
        assert getattr(trimmed, f"{role}_token") == getattr(whole, f"{role}_token")
    assert trimmed.convert_ids_to_tokens(list(range(len(kept)))) == whole.convert_ids_to_tokens(kept.tolist())


@pytest.mark.parametrize("backbone", BACKBONES[:3])
def test_other_texts_become_no_more_unknown(shared: Path, reviews: list[str], tmp_path: Path, backbone: str) -> None:
    whole = load_tokenizer(str(shared / backbone))
    trimmed, kept = cut(whole, reviews[:200], tmp_path / "cut")
    others = reviews[200:]
    unknown = [
        [tokenizer(text)["input_ids"].count(tokenizer.unk_token_id) for text in others]
        for tokenizer in (whole, trimmed)
    ]
    assert all(after <= before for before, after in zip(*unknown, strict=True))
    expected = [text for text in others if pieces(whole, text) != pieces(trimmed, text)]
    assert 0 < len(expected) < len(others)
    assert list(split_otherwise(whole, trimmed, kept, others)) == expected


# WordPiece


def wordpiece(words: str) -> PreTrainedTokenizerFast:
    vocabulary = {piece: number for number, piece in enumerate([*SPECIALS, *words.split()])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    roles = {f"{token.strip('[]').lower()}_token": token for token in SPECIALS}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **roles)


def test_an_unknown_word_stays_unknown(tmp_path: Path) -> None:
    """abc|x is unknown for want of ##x; without abc it would be ab|##cx."""
    whole = wordpiece("abc ab d ##cx unused")
    texts = ["abcx", "ab", "dcx"]
    trimmed, _ = cut(whole, texts, tmp_path)
    assert [trimmed.tokenize(text) for text in texts] == [["[UNK]"], ["ab"], ["d", "##cx"]]
    assert sorted(trimmed.get_vocab()) == sorted([*SPECIALS, "abc", "ab", "d", "##cx"])


def test_single_characters_and_special_ids_stay_in_order(tmp_path: Path) -> None:
    whole = wordpiece("ab x ##x ##ab y 가 ##가 cd")
    kept = kept_pieces(whole, np.zeros(len(whole), dtype=bool), special=(5, 99))
    assert whole.convert_ids_to_tokens(kept.tolist()) == [*SPECIALS, "ab", "x", "##x", "y", "가", "##가"]


def test_texts_are_counted() -> None:
    used = used_pieces(wordpiece("ab cd"), (text for text in ["ab ab", "", "ab"] * 700))
    assert isinstance(used, Used)
    assert (used.texts, np.flatnonzero(used.pieces).tolist()) == (2_100, [5])


# Unigram


def unigram(vocabulary: list[tuple[str, float]], byte_fallback: bool = False, **roles: str) -> PreTrainedTokenizerFast:
    unknown = [piece for piece, _ in vocabulary].index("<unk>")
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=unknown, byte_fallback=byte_fallback))
    backend.normalizer = normalizers.NFC()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", **roles)


def test_the_score_of_unknown_characters_stays(tmp_path: Path) -> None:
    """X has no piece of its own: XYZ W (-40) beats unknown YZW (-41) only while the lowest score is that of "rare"."""
    whole = unigram([("<unk>", 0.0), ("XYZ", -20.0), ("W", -20.0), ("YZW", -3.0), ("rare", -28.0), ("other", -5.0)])
    texts = ["XYZW", "YZW"]
    trimmed, _ = cut(whole, texts, tmp_path)
    assert [trimmed.tokenize(text) for text in texts] == [["XYZ", "W"], ["YZW"]]
    assert "other" not in trimmed.get_vocab()


def test_pieces_of_bytes_stay(tmp_path: Path) -> None:
    bytes_ = [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]
    whole = unigram([("a", -1.0), ("<unk>", 0.0), ("bcd", -2.0), *bytes_], byte_fallback=True)
    trimmed, kept = cut(whole, ["aa"], tmp_path)
    assert len(kept) == len(whole) - 1
    assert pieces(trimmed, "a힣") == pieces(whole, "a힣") == ["a", "<0xED>", "<0x9E>", "<0xA3>"]


def template() -> Any:
    return processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 3)])


@pytest.mark.parametrize(
    "post_processor",
    [
        template(),
        processors.RobertaProcessing(("</s>", 3), ("<s>", 4)),
        processors.Sequence([processors.ByteLevel(), processors.BertProcessing(("</s>", 3), ("<s>", 4))]),
    ],
)
def test_special_tokens_are_renumbered(tmp_path: Path, post_processor: Any) -> None:
    """As in T5's vocabularies: special tokens between pieces, added tokens behind all of them."""
    words = [
        ("<pad>", 0.0),
        ("no", -4.0),
        ("<unk>", 0.0),
        ("</s>", 0.0),
        ("<s>", 0.0),
        ("▁", -2.0),
        ("ab", -3.0),
        ("low", -9.0),
    ]
    whole = unigram(words, pad_token="<pad>", eos_token="</s>")
    whole.add_special_tokens({"additional_special_tokens": [f"<extra_{number}>" for number in range(3)]})
    whole.add_tokens([AddedToken("신조어", normalized=False)])
    whole.backend_tokenizer.post_processor = post_processor
    trimmed, kept = cut(whole, ["ab"], tmp_path)
    assert 1 not in kept
    for text in ("ab", "ab신조어ab", "abab <extra_2>"):
        assert pieces(trimmed, text) == pieces(whole, text)
    assert trimmed(["ab", ""], padding=True)["input_ids"][1][-1] == trimmed.pad_token_id == 0
    assert [trimmed.added_tokens_decoder[i].content for i in sorted(trimmed.added_tokens_decoder)] == [
        whole.added_tokens_decoder[i].content for i in sorted(whole.added_tokens_decoder)
    ]


def test_other_models_are_refused() -> None:
    merged = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, [])))
    with pytest.raises(UserError, match=r"'some/roberta' is a BPE model.*\n.*Unigram.*WordPiece"):
        refuse_other_models(merged, "some/roberta")
