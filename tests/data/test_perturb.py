"""Perturbed texts: what each rule does, by row and seed alone."""

import unicodedata
from typing import Any

import pytest

from nsmc_lightning.data.clean import clean_text
from nsmc_lightning.data.demo.grammar import demo_rows
from nsmc_lightning.data.perturb import NAMES, perturb

TEXTS = [*(text for _, text, _ in demo_rows("test", 200, seed=1)), "ㅋㅋ 최고!! ㅎㅎ", "no Hangul, at all", "...", "굿"]


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_perturbed_by_its_row_and_the_seed_alone(name: Any) -> None:
    all_at_once = perturb(TEXTS, name)
    assert perturb(TEXTS[:7], name) == all_at_once[:7]
    assert perturb(TEXTS, name) == all_at_once
    if name in ("laughter", "typos", "emoji"):
        assert perturb(TEXTS, name, seed=1) != all_at_once
        assert perturb([TEXTS[-1]] * 50, name).count(all_at_once[-1]) < 50


def test_spaces() -> None:
    assert perturb(["정말 재미\t있다 "], "no_spaces") == ["정말재미있다"]


def test_laughter_grows_or_is_added() -> None:
    grown, added = perturb(["ㅋㅋ 좋다 ㅎ", "좋다"], "laughter")
    laughs = [part for part in grown.split() if part != "좋다"]
    assert [{*laugh} for laugh in laughs] == [{"ㅋ"}, {"ㅎ"}]
    assert 3 <= len(laughs[0]) <= 7
    assert 2 <= len(laughs[1]) <= 6
    assert added.startswith("좋다 ㅋㅋ")


def test_a_tenth_of_the_syllables_is_mistyped() -> None:
    for text, new in zip(TEXTS, perturb(TEXTS, "typos"), strict=True):
        hangul = sum("HANGUL SYLLABLE" in unicodedata.name(letter, "") for letter in text)
        changed = [(one, other) for one, other in zip(text, new, strict=True) if one != other]
        assert len(changed) == -(-hangul // 10)


def test_decomposed_texts_are_composed_by_cleaning() -> None:
    decomposed = perturb(TEXTS, "nfd")
    assert decomposed[0] != TEXTS[0]
    assert [clean_text(text) for text in decomposed] == [clean_text(text) for text in TEXTS]


def test_emoji_follow_the_text() -> None:
    for text, new in zip(TEXTS, perturb(TEXTS, "emoji"), strict=True):
        assert new.startswith(f"{text} ")
        assert {unicodedata.category(letter) for letter in new[len(text) + 1 :]} == {"So"}


def test_a_text_of_punctuation_alone_keeps_it() -> None:
    assert perturb(["좋다!! (정말) ~^^", "...", "“인용”…"], "no_punctuation") == ["좋다 정말 ", "...", "인용"]
