"""A small labelled corpus of Korean movie reviews, made from a grammar: works with no network at all.

A review is one or two phrases. A phrase pairs a subject with a predicate, and words alone do not tell its sentiment:
감동이 넘친다 is praise and 지루함이 넘친다 blame, 감동이 없다 blame and 지루함이 없다 praise. A contrast is decided by
its second half, a negation turns a phrase round. Each phrase belongs to one part only, so that the dev and test parts
hold pairs that training has never seen, of words that it has.
"""

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Part = Literal["train", "dev", "test"]
Row = tuple[str, str, str]

SIZES: dict[Part, int] = {"train": 6_000, "dev": 800, "test": 1_000}
_SHARES: dict[Part, float] = {"train": 0.7, "dev": 0.15, "test": 0.15}  # of the phrases

_ASPECTS = "연기 스토리 영상미 음악 연출 결말 대사 전개 각본 캐릭터 액션 반전 편집 더빙 주인공 촬영".split()  # noqa: SIM905
_GOOD = "훌륭 탄탄 완벽 신선 섬세 치밀 깔끔 근사 참신 생생 우아 절묘 유쾌 통쾌".split()  # noqa: SIM905
_BAD = "지루 허술 어색 식상 답답 밋밋 유치 산만 진부 허접 엉성 조잡 부실 빈약 한심".split()  # noqa: SIM905

_GOOD_NOUNS = "감동 여운 재미 긴장감 몰입감 매력 웃음 설득력 개연성 깊이 진심 볼거리 생동감 공감".split()  # noqa: SIM905
_BAD_NOUNS = "지루함 억지 실망감 허세 식상함 어색함 답답함 유치함 짜증 군더더기 신파 허점 오글거림 불쾌감".split()  # noqa: SIM905
# Stem, and the ways a sentence ends with it.
_MORE = {
    "가득하": ("가득하다", "가득해요", "가득함", "가득하네요"),
    "넘치": ("넘친다", "넘쳐요", "넘침", "넘치네요"),
    "느껴지": ("느껴진다", "느껴져요", "느껴짐", "느껴지네요"),
    "밀려오": ("밀려온다", "밀려와요", "밀려옴", "밀려오네요"),
    "상당하": ("상당하다", "상당해요", "상당함", "상당하네요"),
    "대단하": ("대단하다", "대단해요", "대단함", "대단하네요"),
}
_LESS = {
    "없": ("없다", "없어요", "없음", "없네요"),
    "전혀 없": ("전혀 없다", "전혀 없어요", "전혀 없음", "전혀 없네요"),
    "안 느껴지": ("안 느껴진다", "안 느껴져요", "안 느껴짐", "안 느껴지네요"),
    "찾아볼 수 없": ("찾아볼 수 없다", "찾아볼 수 없어요", "찾아볼 수 없음", "찾아볼 수 없네요"),
    "하나도 없": ("하나도 없다", "하나도 없어요", "하나도 없음", "하나도 없네요"),
    "사라지": ("사라진다", "사라져요", "사라짐", "사라지네요"),
}
_NEGATED = ("지 않다", "지 않아요", "지는 않네요", "진 않음", "지가 않다", "지는 않았다")
_OPENERS = (
    "솔직히 ",
    "진짜 ",
    "정말 ",
    "와 ",
    "음.. ",
    "보고 나니 ",
    "개인적으로 ",
    "친구랑 봤는데 ",
    "기대했는데 ",
    "다시 봐도 ",
    "극장에서 봤는데 ",
    "아무 생각 없이 봤는데 ",
)
_CLOSERS = (
    ".",
    "!",
    "!!",
    "..",
    "...",
    " ㅋㅋ",
    " ㅋㅋㅋ",
    " ㅎㅎ",
    " ㅠㅠ",
    "~",
    " 이상 끝.",
    " 그게 다임",
    " 참고하세요",
)
_TYPOS = (
    ("재미", "제미"),
    ("네요", "내요"),
    ("해요", "헤요"),
    ("지 않", "지 안"),
    ("연기", "연긔"),
    ("없어요", "업어요"),
    ("정말", "증말"),
    ("진짜", "진쨔"),
    ("웃음", "우슴"),
)


@dataclass(frozen=True)
class Phrase:
    """A subject, a predicate's stem and its endings, and whether it praises."""

    subject: str
    stem: str
    endings: tuple[str, ...]
    praises: bool

    @property
    def plain(self) -> str:
        """Subject with its particle, and stem: what identifies the phrase, and stands in no other part."""
        return f"{self.subject}{particle(self.subject, '이', '가')} {self.stem}"


def particle(word: str, after_consonant: str, after_vowel: str) -> str:
    """The particle that fits the last syllable of ``word``: (ord - 가) % 28 counts its final consonant, 0 for none."""
    return after_consonant if (ord(word[-1]) - ord("가")) % 28 else after_vowel


def phrases(part: Part) -> list[Phrase]:
    """The phrases of one part; no phrase is in two."""
    every = [
        Phrase(aspect, f"{word}하", (f"{word}하다", f"{word}해요", f"{word}함", f"{word}하네요"), praises)
        for aspect in _ASPECTS
        for words, praises in ((_GOOD, True), (_BAD, False))
        for word in words
    ]
    for nouns, good_noun in ((_GOOD_NOUNS, True), (_BAD_NOUNS, False)):
        for predicates, more in ((_MORE, True), (_LESS, False)):
            every += [
                Phrase(noun, stem, endings, good_noun == more) for noun in nouns for stem, endings in predicates.items()
            ]
    random.Random(0).shuffle(every)  # the parts' phrases never depend on a seed
    first = round(len(every) * _SHARES["train"])
    second = first + round(len(every) * _SHARES["dev"])
    return {"train": every[:first], "dev": every[first:second], "test": every[second:]}[part]


def demo_rows(part: Part, size: int, seed: int) -> list[Row]:
    """``size`` different reviews as (id, text, label), half of them praise (label 1), in random order."""
    chance = random.Random(f"{part} {seed}")  # a string seeds by its content, in every process alike
    choices = {praises: [p for p in phrases(part) if p.praises == praises] for praises in (True, False)}
    rows: list[Row] = []
    seen: set[str] = set()
    while len(rows) < size:
        praises = len(rows) % 2 == 0
        text = _with_noise(_review(chance, choices, praises), chance)
        if text not in seen:
            seen.add(text)
            rows.append((f"{part}-{len(rows):05}", text, str(int(praises))))
    chance.shuffle(rows)
    return rows


def write_demo(directory: Path, seed: int = 0) -> None:
    """Writes train.tsv, dev.tsv and test.tsv; a file that already holds just that is left alone."""
    directory.mkdir(parents=True, exist_ok=True)
    for part, size in SIZES.items():
        lines = ["\t".join(row) for row in demo_rows(part, size, seed)]
        content = "\n".join(["id\tdocument\tlabel", *lines, ""]).encode()
        path = directory / f"{part}.tsv"
        if path.is_file() and path.read_bytes() == content:
            continue
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(content)
        os.replace(temporary, path)


# The grammar


def _review(chance: random.Random, choices: dict[bool, list[Phrase]], praises: bool) -> str:
    """A plain phrase, a negated one, or a contrast whose second half decides."""
    opener = chance.choice(_OPENERS) if chance.random() < 0.4 else ""
    kind = chance.choices(("plain", "negation", "contrast", "both"), (4, 2, 3, 1))[0]
    if kind == "plain":
        body = _final(chance, chance.choice(choices[praises]))
    elif kind == "negation":
        body = _negated(chance, chance.choice(choices[not praises]))
    else:
        first = chance.choice(choices[not praises])
        last = chance.choice(choices[praises if kind == "contrast" else not praises])
        second = _final(chance, last) if kind == "contrast" else _negated(chance, last)
        body = f"{_subject(first, contrast=True)} {first.stem}지만 {second}"
    return f"{opener}{body}{chance.choice(_CLOSERS) if chance.random() < 0.7 else ''}"


def _subject(phrase: Phrase, contrast: bool) -> str:
    pair = ("은", "는") if contrast else ("이", "가")
    return phrase.subject + particle(phrase.subject, *pair)


def _final(chance: random.Random, phrase: Phrase) -> str:
    return f"{_subject(phrase, chance.random() < 0.3)} {chance.choice(phrase.endings)}"


def _negated(chance: random.Random, phrase: Phrase) -> str:
    return f"{_subject(phrase, chance.random() < 0.3)} {phrase.stem}{chance.choice(_NEGATED)}"


def _with_noise(text: str, chance: random.Random) -> str:
    """Typos and spacing as people make them; what decides the label stays readable."""
    if chance.random() < 0.15:
        right, wrong = chance.choice(_TYPOS)
        text = text.replace(right, wrong)
    spaces = [i for i, letter in enumerate(text) if letter == " "]
    if spaces and chance.random() < 0.2:
        drop = set(spaces) if chance.random() < 0.3 else {chance.choice(spaces)}
        text = "".join(letter for i, letter in enumerate(text) if i not in drop)
    return text
