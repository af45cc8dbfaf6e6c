"""A small labelled corpus of Korean movie reviews, generated from a grammar without network.

A review is one or two clauses; a clause is a phrase (subject and predicate), plain or negated. Single words do not
decide its sentiment: 감동이 넘친다 is praise and 억지가 넘친다 blame, 감동이 없다 blame and 군더더기가 없다 praise; a
negation inverts a phrase, and of two contrasting clauses the second decides. Each phrase belongs to one part: dev and
test contain pairs of subject and predicate that training lacks, but no predicate that it lacks.
"""

import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from nsmc_lightning.data.demo import lexicon
from nsmc_lightning.errors import UserError
from nsmc_lightning.files import whole_file

T = TypeVar("T")

Part = Literal["train", "dev", "test"]
Row = tuple[str, str, str]

SIZES: dict[Part, int] = {"train": 6_000, "dev": 800, "test": 1_000}

# The letters that Unicode decomposes syllables into.
_FINALS = {"ㄴ": "\u11ab", "ㅁ": "\u11b7", "ㅂ": "\u11b8", "ㅆ": "\u11bb"}
# ㅗㅚㅜㅡㅣ → ㅘㅙㅝㅏㅕ
_OPEN_VOWELS = str.maketrans("\u1169\u116c\u116e\u1173\u1175", "\u116a\u116b\u116f\u1161\u1167")
_SLIPS = {"\u1162": "\u1166", "\u1166": "\u1162", "\u116c": "\u116b", "\u11bb": "\u11ba"}  # ㅐ ↔ ㅔ, ㅚ → ㅙ, ㅆ → ㅅ


@dataclass(frozen=True)
class Phrase:
    """A subject and the stem of its predicate.

    Args:
        subject: the words before the predicate.
        stem: the predicate without its ending.
        verb: whether the predicate takes the endings of a verb (-ㄴ다) rather than of an adjective (-다).
        praises: the sentiment.
        whole: whether ``subject`` takes no particle.
    """

    subject: str
    stem: str
    verb: bool
    praises: bool
    whole: bool = False

    def with_particle(self, after_consonant: str, after_vowel: str) -> str:
        """Return the subject with its particle and a space."""
        return self.subject + ("" if self.whole else particle(self.subject, after_consonant, after_vowel)) + " "


def particle(word: str, after_consonant: str, after_vowel: str) -> str:
    """Return the particle that the last syllable of ``word`` takes; Latin letters (CG) count as a vowel."""
    return after_consonant if _is_closed(word) else after_vowel


def phrases(part: Part) -> list[Phrase]:
    """Return the phrases of one part; the parts are disjoint and do not depend on a seed.

    Of each predicate's subjects one goes to dev, the next to test and the others to train, so that train contains every
    predicate. The place of the two in the list of subjects moves from predicate to predicate.
    """
    chosen = []
    for praises, tables in (
        (True, (lexicon.PRAISING, lexicon.PRAISING_WHOLE)),
        (False, (lexicon.BLAMING, lexicon.BLAMING_WHOLE)),
    ):
        for number, (stem, line) in enumerate(item for table in tables for item in table.items()):
            subjects = line.split(", ")
            held_out = {number % len(subjects): "dev", (number + 1) % len(subjects): "test"}
            verb, whole = stem in lexicon.VERBS.split("|"), stem in tables[1]
            for place, subject in enumerate(subjects):
                if held_out.get(place, "train") == part:
                    chosen.append(Phrase(subject, stem, verb, praises, whole))
    return chosen


def clean_review(chance: random.Random, choices: Sequence[Phrase], praises: bool) -> str:
    """Return a review without noise: one clause, two that agree, or two in contrast, of which the second decides."""
    kind = _pick(chance, ("one", "one", "agreement", "contrast", "contrast"))
    last = _clause(chance, choices, praises)
    ending = _pick(chance, _endings(last))
    others = [phrase for phrase in choices if phrase.subject != last.subject]
    if kind == "agreement":
        first = _clause(chance, others, praises)
        comma = _pick(chance, ("", ","))
        return f"{first.with_particle('도', '도')}{first.stem}고{comma} {last.with_particle('도', '도')}{ending}"
    if kind == "contrast":
        # The first clause is about a part of the film: a verdict on the whole would outweigh the second.
        first = _clause(chance, [phrase for phrase in others if not phrase.whole], not praises)
        past = _add_final(infinitive(first.stem), "ㅆ")
        link = _pick(chance, (f"{first.stem}지만", f"{past}지만", f"{past}는데"))
        return f"{first.with_particle('은', '는')}{link} {_subject(chance, last)}{ending}"
    return _subject(chance, last) + ending


def demo_rows(part: Part, size: int, seed: int) -> list[Row]:
    """Return ``size`` different reviews as (id, text, label), half of them praise (label 1), in random order."""
    chance = random.Random(f"{part} {seed}")  # a string seeds by its content, the same in every process
    choices = phrases(part)
    rows: list[Row] = []
    seen: set[str] = set()
    while len(rows) < size:
        praises = len(rows) % 2 == 0
        text = _with_noise(chance, clean_review(chance, choices, praises))
        if text not in seen:
            seen.add(text)
            rows.append((f"{part}-{len(rows):05}", text, str(int(praises))))
    return sorted(rows, key=lambda row: chance.random())


def write_demo(directory: Path, seed: int = 0) -> None:
    """Write train.tsv, dev.tsv and test.tsv; files that are already complete are not touched.

    Raises:
        UserError: ``directory`` cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for part, size in SIZES.items():
            _write_part(directory / f"{part}.tsv", demo_rows(part, size, seed))
    except OSError as error:
        raise UserError(
            f"{directory}: the demo corpus cannot be written ({error.strerror or error}).\n"
            "Name a folder of your own with --data.cache_dir or NSMC_LIGHTNING_CACHE."
        ) from error


def _write_part(path: Path, rows: list[Row]) -> None:
    content = "\n".join(["id\tdocument\tlabel", *("\t".join(row) for row in rows), ""]).encode()
    if path.is_file() and path.read_bytes() == content:
        return
    with whole_file(path) as partial:
        partial.write_bytes(content)


def infinitive(stem: str) -> str:
    """Return the form that -요 and the past tense build on: 훌륭하 → 훌륭해, 넘치 → 넘쳐, 아깝 → 아까워."""
    jamo = unicodedata.normalize("NFD", stem)
    if stem.endswith("하"):
        return stem[:-1] + "해"
    if jamo.endswith(_FINALS["ㅂ"]):  # all such stems here are irregular
        return _compose(jamo[:-1]) + "워"
    if _is_closed(stem):
        return stem + ("아" if jamo[-2] in "\u1161\u1169" else "어")  # after ㅏ and ㅗ
    if stem.endswith("이") and _is_closed(stem[:-1]):  # the copula
        return stem + "어"
    return _compose(jamo[:-1] + jamo[-1].translate(_OPEN_VOWELS))


def _endings(phrase: Phrase) -> tuple[str, ...]:
    """The forms of the phrase's predicate at the end of a sentence."""
    stem, spoken, closed = phrase.stem, infinitive(phrase.stem), _is_closed(phrase.stem)
    past = _add_final(spoken, "ㅆ")
    noun = f"{spoken[:-1]}움" if spoken.endswith("워") else f"{stem}음" if closed else _add_final(stem, "ㅁ")
    plain = f"{stem}다" if not phrase.verb else f"{stem}는다" if closed else _add_final(stem, "ㄴ") + "다"
    polite = f"{stem}습니다" if closed else _add_final(stem, "ㅂ") + "니다"
    casual = f"{spoken}요".replace("이어요", "이에요")
    present = (plain, plain, noun, noun, casual, casual, f"{stem}네요", f"{stem}네", f"{stem}더라고요", polite)
    return (*present, f"{past}다", f"{past}음", f"{past}어요", f"{past}네요")


def _clause(chance: random.Random, choices: Sequence[Phrase], praises: bool) -> Phrase:
    """A phrase that praises or blames: plain, or its negated opposite."""
    if chance.random() < 0.3:
        return _negated(chance, _pick(chance, [p for p in choices if p.praises != praises and _can_be_negated(p)]))
    phrase = _pick(chance, [p for p in choices if p.praises == praises])
    bare = phrase.verb or phrase.whole or phrase.stem in ("없", "살아 있", "완벽하")  # no room for an adverb
    return (
        phrase
        if bare or chance.random() < 0.7
        else replace(phrase, stem=_pick(chance, lexicon.ADVERBS.split("|")) + phrase.stem)
    )


def _can_be_negated(phrase: Phrase) -> bool:
    return phrase.stem not in lexicon.NEVER_NEGATED.split("|") and not (phrase.praises and phrase.stem == "없")


def _negated(chance: random.Random, phrase: Phrase) -> Phrase:
    before = lexicon.BEFORE_NEGATED_PRAISE if phrase.praises else lexicon.BEFORE_NEGATED_BLAME
    # 전혀 없지 않다 is ambiguous.
    adverb = "" if phrase.whole or phrase.stem == "없" else _pick(chance, before.split("|"))
    short = phrase.stem in lexicon.NEGATED_BY_AN.split("|") and chance.random() < 0.4
    stem = f"안 {phrase.stem}" if short else phrase.stem + _pick(chance, lexicon.LONG_NEGATIONS.split("|"))
    return replace(phrase, stem=adverb + stem, praises=not phrase.praises)


def _subject(chance: random.Random, phrase: Phrase) -> str:
    return phrase.with_particle(*_pick(chance, (("이", "가"), ("이", "가"), ("이", "가"), ("은", "는"), ("", ""))))


def _with_noise(chance: random.Random, text: str) -> str:
    """Add openers and closers, typos and spacing errors; the words that decide the label stay readable."""
    opener = _pick(chance, lexicon.OPENERS.split("|")) if chance.random() < 0.35 else ""
    text = opener + text + (_pick(chance, lexicon.CLOSERS.split("|")) if chance.random() < 0.7 else "")
    typos = [typo for right_wrong in lexicon.TYPOS.split("|") if (typo := right_wrong.split(">"))[0] in text]
    if typos and chance.random() < 0.3:
        right, wrong = _pick(chance, typos)
        text = text.replace(right, wrong)
    if chance.random() < 0.1:
        text = _slip(chance, text)
    gaps = [place for place, letter in enumerate(text) if letter == " "]
    if gaps and chance.random() < 0.2:
        dropped = gaps if chance.random() < 0.3 else [_pick(chance, gaps)]
        text = "".join(letter for place, letter in enumerate(text) if place not in dropped)
    elif chance.random() < 0.05:
        place = 1 + int(chance.random() * (len(text) - 1))
        text = f"{text[:place].rstrip()} {text[place:].lstrip()}"
    return text


def _slip(chance: random.Random, text: str) -> str:
    """One syllable spelt as it sounds (메 for 매), or typed without the shift key (봣 for 봤)."""
    jamo = unicodedata.normalize("NFD", text)
    places = [place for place, letter in enumerate(jamo) if letter in _SLIPS]
    if not places:
        return text
    place = _pick(chance, places)
    return _compose(jamo[:place] + _SLIPS[jamo[place]] + jamo[place + 1 :])


def _pick(chance: random.Random, options: Sequence[T]) -> T:
    """Like ``chance.choice``; only ``Random.random`` gives the same numbers in every version of Python."""
    return options[int(chance.random() * len(options))]


def _is_closed(word: str) -> bool:
    """Whether the last syllable ends in a consonant: it then decomposes into three letters."""
    return len(unicodedata.normalize("NFD", word[-1])) == 3


def _compose(jamo: str) -> str:
    return unicodedata.normalize("NFC", jamo)


def _add_final(word: str, final: str) -> str:
    """``word``, which ends in a vowel, with a final consonant: 넘치, ㅁ → 넘침."""
    return _compose(word + _FINALS[final])
