"""Typing errors on the Korean keyboard (2-set, KS X 5002): a key beside the right one, within a syllable."""

import random

_ROWS = ("ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔ", "ㅁㄴㅇㄹㅎㅗㅓㅏㅣ", "ㅋㅌㅊㅍㅠㅜㅡ")  # the keys from Q, A and Z
_SHIFTED = {"ㅂ": "ㅃ", "ㅈ": "ㅉ", "ㄷ": "ㄸ", "ㄱ": "ㄲ", "ㅅ": "ㅆ", "ㅐ": "ㅒ", "ㅔ": "ㅖ"}
_KEYS = {shifted: key for key, shifted in _SHIFTED.items()}

# The jamo of a syllable in the order of Unicode, chapter 3.12: its number is (initial · 21 + vowel) · 28 + final.
_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINALS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_FIRST = ord("가")


def _neighbours() -> dict[str, str]:
    """Return the keys beside each key: in its row, and the two that it touches in the row above and below."""
    found: dict[str, str] = {}
    for number, row in enumerate(_ROWS):
        above, below = (_ROWS[i] if 0 <= i < len(_ROWS) else "" for i in (number - 1, number + 1))
        for place, key in enumerate(row):
            beside = row[max(0, place - 1) : place] + row[place + 1 : place + 2]
            found[key] = beside + above[place : place + 2] + below[max(0, place - 1) : place + 1]
    return found


_NEIGHBOURS = _neighbours()


def _slips(jamo: str, allowed: str) -> list[str]:
    """Return what a slip makes of a jamo, with Shift held where it was; none of one that takes two keys."""
    key = _KEYS.get(jamo, jamo)
    near = _NEIGHBOURS.get(key, "")
    typed = (_SHIFTED.get(other, other) for other in near) if key != jamo else near
    return [other for other in typed if other in allowed]


def mistyped(syllable: str, draw: random.Random) -> str:
    """Replace one jamo of a Hangul syllable by one of a neighbouring key.

    A consonant becomes another consonant and a vowel another vowel, so that the result is a syllable, too.
    """
    initial, rest = divmod(ord(syllable) - _FIRST, len(_VOWELS) * len(_FINALS))
    vowel, final = divmod(rest, len(_FINALS))
    found = [
        *((_INITIALS.index(jamo), vowel, final) for jamo in _slips(_INITIALS[initial], _INITIALS)),
        *((initial, _VOWELS.index(jamo), final) for jamo in _slips(_VOWELS[vowel], _VOWELS)),
        *((initial, vowel, _FINALS.index(jamo)) for jamo in _slips(_FINALS[final], _FINALS)),
    ]
    initial, vowel, final = draw.choice(found)
    return chr(_FIRST + (initial * len(_VOWELS) + vowel) * len(_FINALS) + final)
