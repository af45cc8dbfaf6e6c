"""A small labelled corpus of Korean movie reviews, made from a grammar: works with no network at all.

A review is one or two clauses; a clause is a phrase (subject and predicate), as it is or negated. Words alone do not
tell its sentiment: 감동이 넘친다 is praise and 억지가 넘친다 blame, 감동이 없다 blame and 군더더기가 없다 praise, a
negation turns a phrase round, and of two clauses in contrast the second decides. Each phrase belongs to one part only:
dev and test hold pairs of subject and predicate that training has never seen, and no predicate that it lacks.
"""

import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from nsmc_lightning.errors import UserError
from nsmc_lightning.files import whole_file

T = TypeVar("T")

Part = Literal["train", "dev", "test"]
Row = tuple[str, str, str]

SIZES: dict[Part, int] = {"train": 6_000, "dev": 800, "test": 1_000}

# Stem of the predicate: the subjects it is said of. At least four of them, as one goes to dev and one to test.
_PRAISING = {
    "좋": "연기, 연출, 음악, 영상, 대사, 분위기, 소재, 편집, 결말",
    "훌륭하": "연기, 연출, 촬영, 음악, 각본, 액션, 의상",
    "완벽하": "연기, 연출, 결말, 호흡, 편집, 각본",
    "탄탄하": "스토리, 각본, 전개, 구성, 설정",
    "신선하": "소재, 설정, 연출, 반전, 전개, 캐릭터",
    "참신하": "소재, 설정, 연출, 반전, 구성",
    "섬세하": "연기, 연출, 심리 묘사, 감정선, 대사",
    "치밀하": "각본, 구성, 전개, 복선, 설정",
    "깔끔하": "편집, 결말, 연출, 전개, 마무리, CG",
    "자연스럽": "연기, 더빙, CG, 대사, 번역, 전개",
    "뛰어나": "연기, 연출, 영상미, CG, 촬영, 각본",
    "아름답": "영상, 음악, 배경, 결말, 장면 하나하나",
    "재밌": "스토리, 대사, 캐릭터, 전개, 설정, 액션",
    "매력적이": "캐릭터, 주인공, 설정, 소재, 악역",
    "감동적이": "결말, 스토리, 음악, 대사, 마지막 장면",
    "인상적이": "연기, 연출, 대사, 음악, 결말, 마지막 장면",
    "압권이": "연기, 액션, 음악, 영상미, 반전, 마지막 장면",
    "일품이": "연기, 액션, 음악, 영상미, 반전",
    "대단하": "몰입감, 긴장감, 연기력, 흡입력, 영상미",
    "가득하": "감동, 재미, 볼거리, 매력, 긴장감, 웃음, 진심",
    "많": "볼거리, 명장면, 명대사, 웃을 거리, 생각할 거리",
    "살아 있": "캐릭터, 긴장감, 대사, 감정선, 유머",
    "없": "군더더기, 빈틈, 억지, 신파, 허점, 지루할 틈, 흠잡을 데, 버릴 장면, 어색함",
    "넘치": "감동, 재미, 긴장감, 매력, 웃음, 생동감",
    "느껴지": "진심, 감동, 긴장감, 정성, 깊이, 감독의 애정",
    "돋보이": "연기, 연출, 음악, 영상미, 각본, 촬영",
    "빛나": "연기, 연출, 대사, 음악, 조연들",
    "끝내주": "음악, 액션, 영상미, 연기, CG, 반전",
    "와닿": "대사, 메시지, 주제, 결말, 감정선",
    "기억에 남": "대사, 장면 하나하나, 음악, 결말, 연기",
    "터지": "감탄, 웃음, 박수, 탄성",
    "절로 나오": "감탄, 웃음, 박수, 탄성, 미소",
}
_BLAMING = {
    "지루하": "전개, 스토리, 초반부, 후반부, 연출, 대사",
    "허술하": "각본, 구성, 전개, 설정, CG, 반전",
    "어색하": "연기, 더빙, CG, 대사, 번역, 편집",
    "식상하": "소재, 설정, 반전, 스토리, 결말, 캐릭터",
    "답답하": "전개, 주인공, 결말, 스토리, 캐릭터",
    "밋밋하": "연기, 연출, 결말, 액션, 캐릭터",
    "유치하": "대사, 스토리, 설정, CG, 연출, 결말",
    "산만하": "전개, 편집, 연출, 구성, 스토리",
    "진부하": "소재, 스토리, 결말, 대사, 설정",
    "엉성하": "각본, CG, 편집, 구성, 액션",
    "뻔하": "결말, 스토리, 반전, 전개, 대사",
    "허무하": "결말, 반전, 마무리, 후반부",
    "형편없": "연기, 연출, 각본, CG, 더빙",
    "엉망이": "각본, 연출, 편집, 결말, 번역, CG",
    "아쉽": "연기, 결말, 연출, 편집, 마무리, 각본",
    "나쁘": "연기, 연출, 음악, 결말, 화질",
    "아깝": "시간, 돈, 표값, 주말, 팝콘값, 배우들",
    "심하": "억지, 신파, 허세, 오글거림, 과장",
    "많": "군더더기, 빈틈, 허점, 구멍, 억지, 어색한 장면",
    "가득하": "억지, 허세, 신파, 허점, 클리셰, 군더더기",
    "부족하": "재미, 감동, 개연성, 긴장감, 설득력, 깊이",
    "약하": "개연성, 설득력, 반전, 긴장감, 캐릭터",
    "없": "재미, 감동, 개연성, 긴장감, 설득력, 볼거리, 깊이, 매력, 여운",
    "넘치": "허세, 억지, 신파, 군더더기, 오글거림",
    "느껴지": "지루함, 어색함, 억지스러움, 유치함, 답답함, 허세",
    "떨어지": "개연성, 몰입감, 긴장감, 설득력, 연기력, 완성도",
    "거슬리": "음악, 더빙, 편집, CG, 대사",
    "늘어지": "전개, 초반부, 중반부, 후반부, 편집",
    "쏟아지": "잠, 하품, 짜증, 졸음",
    "절로 나오": "하품, 한숨, 욕, 짜증, 헛웃음",
}
# Here the words before the predicate take no particle of a subject.
_PRAISING_WHOLE = {
    "추천하고 싶": "친구에게, 가족에게, 부모님께, 연인에게, 모두에게",
    "보고 싶": "한 번 더, 다시, 극장에서 또, 가족과 함께, 두고두고",
    "뛰어넘": "기대를, 원작을, 전작을, 예상을, 소문을",
    "몰입하게 되": "보는 내내, 처음부터 끝까지, 시작하자마자, 어느새, 나도 모르게",
}
_BLAMING_WHOLE = {
    "말리고 싶": "보려는 사람을, 본다는 친구를, 예매한 사람을, 줄 선 사람들을, 보자는 친구를",
    "나가고 싶": "중간에, 도중에, 10분 만에, 당장, 시작하자마자",
    "못 미치": "기대에, 원작에, 전작에, 예고편에, 소문에",
    "졸게 되": "보는 내내, 중반부터, 시작하자마자, 어느새, 나도 모르게",
}
_VERBS = (
    "넘치|느껴지|돋보이|빛나|끝내주|와닿|기억에 남|터지|절로 나오|떨어지|거슬리|늘어지|쏟아지|뛰어넘|몰입하게 되|"
    "못 미치|졸게 되"
)
# Odd, or no clear verdict, when negated.
_NEVER_NEGATED = (
    "완벽하|압권이|일품이|대단하|가득하|넘치|살아 있|끝내주|터지|절로 나오|쏟아지|형편없|엉망이|말리고 싶|나가고 싶|"
    "뛰어넘|못 미치|몰입하게 되|졸게 되"
)
_NEGATED_BY_AN = (
    "좋|재밌|와닿|느껴지|지루하|유치하|아깝|거슬리|늘어지|떨어지|뻔하|어색하|답답하|식상하|산만하|허무하|밋밋하|심하"
)
_LONG_NEGATIONS = "지 않|지는 않|진 않"
_BEFORE_NEGATED_PRAISE = "|별로 |그다지 |기대했던 것만큼 |생각보다 "
_BEFORE_NEGATED_BLAME = "|전혀 |하나도 |걱정했던 것만큼 |생각보다 "
_ADVERBS = "너무 |정말 |진짜 |참 "

# None of these tells the sentiment.
_OPENERS = (
    "솔직히 |진짜 |정말 |와 |음.. |보고 나니 |개인적으로 |친구랑 봤는데 |다시 봐도 |극장에서 봤는데 |"
    "아무 생각 없이 봤는데 |평점 9점대라 봤는데 |평점 3점대라 걱정했는데 |방금 봤는데 |예고편 보고 갔는데 |"
    "누가 뭐래도 |내 기준 |원작 팬인데 "
)
_CLOSERS = (
    ".|.|!|!!|..|...|~|~~|;;| ㅋㅋ|ㅋㅋㅋ| ㅎㅎ|ㅎㅎ| ㅠㅠ|ㅠㅠ| ㄷㄷ|. 이상 한줄평|.. 참고하세요|"
    ". 10자 채우기|. 2회차| (12세 관람가)|. 넷플릭스로 봄|. 러닝타임 120분"
)
_TYPOS = (
    "재미>제미|재밌>잼있|너무>넘|네요>내요|어요>어여|해요>해여|지 않>지 안|됐>됬|돼>되|습니다>슴다|정말>증말|진짜>진쨔|"
    "더라고요>더라구요|연기>연긔|솔직히>솔찍히|없어>업어|스토리>스또리"
)

# As Unicode decomposes syllables.
_FINALS = {"ㄴ": "\u11ab", "ㅁ": "\u11b7", "ㅂ": "\u11b8", "ㅆ": "\u11bb"}
_OPEN_VOWELS = str.maketrans(
    "\u1169\u116c\u116e\u1173\u1175", "\u116a\u116b\u116f\u1161\u1167"
)  # ㅗㅚㅜㅡㅣ → ㅘㅙㅝㅏㅕ
_SLIPS = {"\u1162": "\u1166", "\u1166": "\u1162", "\u116c": "\u116b", "\u11bb": "\u11ba"}  # ㅐ ↔ ㅔ, ㅚ → ㅙ, ㅆ → ㅅ


@dataclass(frozen=True)
class Phrase:
    """A subject and the stem of what is said of it.

    Args:
        subject: the words before the predicate.
        stem: the predicate without its ending.
        verb: whether it takes the endings of a verb (-ㄴ다), not those of an adjective (-다).
        praises: its sentiment.
        whole: ``subject`` takes no particle.
    """

    subject: str
    stem: str
    verb: bool
    praises: bool
    whole: bool = False

    def with_particle(self, after_consonant: str, after_vowel: str) -> str:
        """Returns the subject with the particle that fits it, and a space."""
        return self.subject + ("" if self.whole else particle(self.subject, after_consonant, after_vowel)) + " "


def particle(word: str, after_consonant: str, after_vowel: str) -> str:
    """Returns the particle that fits the last syllable of ``word``; Latin letters (CG) count as ending in a vowel."""
    return after_consonant if _is_closed(word) else after_vowel


def phrases(part: Part) -> list[Phrase]:
    """Returns the phrases of one part; none is in two, and none depends on a seed.

    Of each predicate's subjects one goes to dev, the next to test and the others to train, so that dev and test hold
    no predicate that training lacks. Which one moves on from predicate to predicate.
    """
    chosen = []
    for praises, tables in ((True, (_PRAISING, _PRAISING_WHOLE)), (False, (_BLAMING, _BLAMING_WHOLE))):
        for number, (stem, line) in enumerate(item for table in tables for item in table.items()):
            subjects = line.split(", ")
            held_out = {number % len(subjects): "dev", (number + 1) % len(subjects): "test"}
            verb, whole = stem in _VERBS.split("|"), stem in tables[1]
            for place, subject in enumerate(subjects):
                if held_out.get(place, "train") == part:
                    chosen.append(Phrase(subject, stem, verb, praises, whole))
    return chosen


def clean_review(chance: random.Random, choices: Sequence[Phrase], praises: bool) -> str:
    """Returns a review without noise: one clause, two that agree, or a contrast that the second clause decides."""
    kind = _pick(chance, ("one", "one", "agreement", "contrast", "contrast"))
    last = _clause(chance, choices, praises)
    ending = _pick(chance, _endings(last))
    others = [phrase for phrase in choices if phrase.subject != last.subject]
    if kind == "agreement":
        first = _clause(chance, others, praises)
        comma = _pick(chance, ("", ","))
        return f"{first.with_particle('도', '도')}{first.stem}고{comma} {last.with_particle('도', '도')}{ending}"
    if (
        kind == "contrast"
    ):  # its first clause is about a part of the film: a verdict on the whole would outweigh the rest
        first = _clause(chance, [phrase for phrase in others if not phrase.whole], not praises)
        past = _add_final(infinitive(first.stem), "ㅆ")
        link = _pick(chance, (f"{first.stem}지만", f"{past}지만", f"{past}는데"))
        return f"{first.with_particle('은', '는')}{link} {_subject(chance, last)}{ending}"
    return _subject(chance, last) + ending


def demo_rows(part: Part, size: int, seed: int) -> list[Row]:
    """Returns ``size`` different reviews as (id, text, label), half of them praise (label 1), in random order."""
    chance = random.Random(f"{part} {seed}")  # a string seeds by its content, in every process alike
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
    """Writes train.tsv, dev.tsv and test.tsv; a file that already holds just that is left alone. Returns nothing.

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
    """Returns the form that -요 and the past tense are made of: 훌륭하 → 훌륭해, 넘치 → 넘쳐, 아깝 → 아까워."""
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
    """The ways a sentence ends with the phrase's predicate."""
    stem, spoken, closed = phrase.stem, infinitive(phrase.stem), _is_closed(phrase.stem)
    past = _add_final(spoken, "ㅆ")
    noun = f"{spoken[:-1]}움" if spoken.endswith("워") else f"{stem}음" if closed else _add_final(stem, "ㅁ")
    plain = f"{stem}다" if not phrase.verb else f"{stem}는다" if closed else _add_final(stem, "ㄴ") + "다"
    polite = f"{stem}습니다" if closed else _add_final(stem, "ㅂ") + "니다"
    casual = f"{spoken}요".replace("이어요", "이에요")
    present = (plain, plain, noun, noun, casual, casual, f"{stem}네요", f"{stem}네", f"{stem}더라고요", polite)
    return (*present, f"{past}다", f"{past}음", f"{past}어요", f"{past}네요")


def _clause(chance: random.Random, choices: Sequence[Phrase], praises: bool) -> Phrase:
    """A phrase that praises or blames, as it is or made from its opposite by a negation."""
    if chance.random() < 0.3:
        return _negated(chance, _pick(chance, [p for p in choices if p.praises != praises and _can_be_negated(p)]))
    phrase = _pick(chance, [p for p in choices if p.praises == praises])
    bare = phrase.verb or phrase.whole or phrase.stem in ("없", "살아 있", "완벽하")  # no room for an adverb
    return (
        phrase
        if bare or chance.random() < 0.7
        else replace(phrase, stem=_pick(chance, _ADVERBS.split("|")) + phrase.stem)
    )


def _can_be_negated(phrase: Phrase) -> bool:
    return phrase.stem not in _NEVER_NEGATED.split("|") and not (phrase.praises and phrase.stem == "없")


def _negated(chance: random.Random, phrase: Phrase) -> Phrase:
    before = _BEFORE_NEGATED_PRAISE if phrase.praises else _BEFORE_NEGATED_BLAME
    # 전혀 없지 않다 could be read either way.
    adverb = "" if phrase.whole or phrase.stem == "없" else _pick(chance, before.split("|"))
    short = phrase.stem in _NEGATED_BY_AN.split("|") and chance.random() < 0.4
    stem = f"안 {phrase.stem}" if short else phrase.stem + _pick(chance, _LONG_NEGATIONS.split("|"))
    return replace(phrase, stem=adverb + stem, praises=not phrase.praises)


def _subject(chance: random.Random, phrase: Phrase) -> str:
    return phrase.with_particle(*_pick(chance, (("이", "가"), ("이", "가"), ("이", "가"), ("은", "는"), ("", ""))))


def _with_noise(chance: random.Random, text: str) -> str:
    """Openers and closers, typos and spacing as people make them; what decides the label stays readable."""
    opener = _pick(chance, _OPENERS.split("|")) if chance.random() < 0.35 else ""
    text = opener + text + (_pick(chance, _CLOSERS.split("|")) if chance.random() < 0.7 else "")
    typos = [typo for right_wrong in _TYPOS.split("|") if (typo := right_wrong.split(">"))[0] in text]
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
    """As ``chance.choice``, of which only ``random`` promises the same numbers in every version of Python."""
    return options[int(chance.random() * len(options))]


def _is_closed(word: str) -> bool:
    """Whether the last syllable ends in a consonant: it then decomposes into three letters."""
    return len(unicodedata.normalize("NFD", word[-1])) == 3


def _compose(jamo: str) -> str:
    return unicodedata.normalize("NFC", jamo)


def _add_final(word: str, final: str) -> str:
    """``word``, which ends in a vowel, with a final consonant: 넘치, ㅁ → 넘침."""
    return _compose(word + _FINALS[final])
