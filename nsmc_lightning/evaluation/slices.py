"""Slices of a test part by how its texts are written: kinds of Korean that classifiers are known to differ on."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_JAMO = "\u1100-\u11ff\u3131-\u318e"

# How words begin that follow 안 without a space: a list of nouns that begin with 안 (안녕, 안내, 안경) would not end.
_AFTER_AN = (
    "[되돼됐됨된될됩됬하한할함합해했햇보본볼봄봅봐봤봣좋맞들듣든듬웃믿받읽죽줘준남갔감간왔와온올오썼써쓴쓸끝끊끌팔풀떴뜨빼찾추춥틀흐]"
    "|나[오온올옴와왔네는]|난다|가[네는고서]|무[서섭]|어울|드[네는]|느[껴낌]|아[까깝프]|그[래런렇]|쓰[는고]|우는|울|주[나는네고]"
    "|재[미밌]|졸|찍|친|통[하해]|만[들든나]|걸[리려]|고[르쳐]|궁금|깨|내려|늙|떠|떨어|바[뀌꾸]|변하|부[끄러]|빠[지져]|슬[프퍼]|쉬|쉽"
    "|알[려아]|예[뻐쁘]|이[뻐쁘상해]|자고|잡|지루|질[리려]"
)

SLICES: dict[str, re.Pattern[str]] = {
    "negation": re.compile(
        rf"(?<![가-힣])안(?:\s+[가-힣]|{_AFTER_AN})|(?<=[가-힣])안(?:[되돼됐됨된될됩됬좋맞봐봤])"
        r"|(?<![가-힣])못(?=[\s가-힣])(?![생난된박내말쓸]|마땅|자리)|(?<=[가-힣])(?<!잘)못[하한할함합해했보봐봤본볼만알느]"
        r"|[않없]"
        r"|아니[가-힣](?<![메스])|아[닌닐님닙냐]"
        r"|(?<![정결반양])말고|지\s?말|지\s?마(?:[라세시요셈삼]|(?![가-힣]))"
    ),
    "contrast": re.compile(r"(?<!까)지만|[는은인한던근런건]데|다만|으나(?=[\s,.])|그러나|그래도|반면|불구하고|비록"),
    "laughter": re.compile(r"[ㅋㅎ]{2}"),
    "tears": re.compile(r"[ㅠㅜ]{2}"),
    "only jamo": re.compile(rf"\A[\W\d_]*[{_JAMO}][\W\d_{_JAMO}]*\Z"),
    "no spaces": re.compile(r"\A\S{11,}\Z"),
    "Latin letters": re.compile(r"[A-Za-zＡ-Ｚａ-ｚ]"),
}
"""By name, the pattern that a text of the slice contains.

* negation: 안 or 못 with a verb, -지 않다, 없다, 아니다, 말고, -지 마라. Not: nouns with 안 (안내, 안에), 잘못,
  못생기다, 괜찮다, the exclamation 아니, nor words that are negative but negate no other, such as 별로, 전혀 and 노잼.
* contrast: -지만, -는데, -다만, -으나 and the conjunctions made of them, 그래도, 반면, 불구하고, 비록. Not: 까지만.
* laughter, tears: two or more of ㅋ and ㅎ, of ㅠ and ㅜ.
* only jamo: no letters but the parts of syllables (ㅋㅋㅋ, ㅇㅈ).
* no spaces: 11 characters or more without one.
* Latin letters: at least one.

The patterns read letters, not grammar: they miss some texts, and take a few that they should not.
"""

_BANDS = (1, 11, 21, 41, 81, 161)
"""The first length of each band, in characters."""


def slices(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Find the texts of each of :data:`SLICES`, bool (N,) by name."""
    return {
        name: np.array([pattern.search(text) is not None for text in texts], dtype=bool)
        for name, pattern in SLICES.items()
    }


def length_bands(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Find the texts of each band of lengths in characters, bool (N,) by name: 1–10, 11–20 and so on."""
    lengths = np.array([len(text) for text in texts])
    ends = [*(first - 1 for first in _BANDS[1:]), None]
    return {
        f"{first}–{end}" if end else f"{first} and more": (lengths >= first) & (lengths <= (end or np.inf))
        for first, end in zip(_BANDS, ends, strict=True)
    }
