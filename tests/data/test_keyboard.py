"""Mistyped syllables: one jamo differs, by a key beside the right one on a drawn keyboard."""

import random
import unicodedata

from nsmc_lightning.data.keyboard import mistyped

# Where the keys are, in widths of a key: rows of a keyboard are shifted by a quarter and by three quarters of one.
PLACES = {
    letter: (place + shift, row)
    for row, (letters, shift) in enumerate(
        [("ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔ", 0), ("ㅁㄴㅇㄹㅎㅗㅓㅏㅣ", 0.25), ("ㅋㅌㅊㅍㅠㅜㅡ", 0.75)]
    )
    for place, letter in enumerate(letters)
}
PLAIN = dict(zip("ㄲㄸㅃㅆㅉㅒㅖ", "ㄱㄷㅂㅅㅈㅐㅔ", strict=True))
SYLLABLES = [chr(code) for code in range(ord("가"), ord("힣") + 1, 5)]


def key_of(conjoining: str) -> str:
    """The key of a jamo in decomposed text, by Unicode's names: HANGUL CHOSEONG KIYEOK and HANGUL LETTER KIYEOK."""
    name = unicodedata.name(conjoining).split(" ", 2)[2]
    letter = unicodedata.lookup(f"HANGUL LETTER {name}")
    return PLAIN.get(letter, letter)


def test_one_jamo_becomes_that_of_a_key_beside_it() -> None:
    draw = random.Random(0)
    for syllable in SYLLABLES:
        new = mistyped(syllable, draw)
        assert "가" <= new <= "힣"
        before, after = (unicodedata.normalize("NFD", text) for text in (syllable, new))
        assert len(before) == len(after)
        differ = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
        assert len(differ) == 1
        (x, y), (u, v) = (PLACES[key_of(jamo)] for jamo in differ[0])
        assert max(abs(x - u), abs(y - v)) <= 1


def test_every_jamo_of_one_key_can_slip() -> None:
    draw, seen = random.Random(0), set()
    for syllable in SYLLABLES:
        pairs = zip(*(unicodedata.normalize("NFD", text) for text in (syllable, mistyped(syllable, draw))), strict=True)
        seen |= {one for one, other in pairs if one != other}
    initials, vowels, finals = 14 + 5, 12 + 2, 14 + 2  # plain and with Shift
    assert len(seen) == initials + vowels + finals
