"""Perturbations of texts that leave their labels as they are: what users write, and a corpus has too little of."""

import random
import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal

from nsmc_lightning.data.keyboard import mistyped

Perturbation = Literal["no_spaces", "laughter", "typos", "nfd", "emoji", "no_punctuation"]

SEED = 0
"""Not the run's seed, with which two models would be measured on different texts."""

_LAUGHTER = re.compile("ㅋ+|ㅎ+")
_EMOJI = "👀💬📌🔎🕐🎈"  # that show no feeling


def _no_spaces(text: str, draw: random.Random) -> str:
    return "".join(text.split())


def _laughter(text: str, draw: random.Random) -> str:
    """Lengthen each laughter by 1 to 5 letters; a text without any gets some at its end."""
    if not _LAUGHTER.search(text):
        return f"{text} {'ㅋ' * draw.randint(2, 6)}"
    return _LAUGHTER.sub(lambda found: found[0] + found[0][0] * draw.randint(1, 5), text)


def _typos(text: str, draw: random.Random) -> str:
    """Mistype a tenth of the Hangul syllables, at least one: one key in each."""
    letters = list(text)
    hangul = [place for place, letter in enumerate(letters) if "가" <= letter <= "힣"]
    for place in draw.sample(hangul, k=-(-len(hangul) // 10)):
        letters[place] = mistyped(letters[place], draw)
    return "".join(letters)


def _nfd(text: str, draw: random.Random) -> str:
    """Decompose Hangul, as file names from macOS are; cleaning composes it again."""
    return unicodedata.normalize("NFD", text)


def _emoji(text: str, draw: random.Random) -> str:
    """Add one to three emoji at the end."""
    return f"{text} {''.join(draw.choices(_EMOJI, k=draw.randint(1, 3)))}"


def _no_punctuation(text: str, draw: random.Random) -> str:
    return "".join(
        letter for letter in text if letter not in string.punctuation and unicodedata.category(letter)[0] != "P"
    )


_RULES: dict[Perturbation, Callable[[str, random.Random], str]] = {
    "no_spaces": _no_spaces,
    "laughter": _laughter,
    "typos": _typos,
    "nfd": _nfd,
    "emoji": _emoji,
    "no_punctuation": _no_punctuation,
}
NAMES: tuple[Perturbation, ...] = tuple(_RULES)


def perturb(texts: Sequence[str], name: Perturbation, seed: int = SEED) -> list[str]:
    """Perturb texts, each by its row and the seed alone; one of which nothing would be left stays as it is.

    Args:
        texts: as users write them, before :func:`~nsmc_lightning.data.clean.clean_text`.
        name: what happens to them.
        seed: of the random choices.
    """
    rule = _RULES[name]
    perturbed = (rule(text, random.Random(f"{seed} {row}")) for row, text in enumerate(texts))
    return [new if new.strip() else text for new, text in zip(perturbed, texts, strict=True)]
