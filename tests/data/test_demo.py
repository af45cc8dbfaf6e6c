"""The demo corpus: the same on every machine, balanced, and with phrases in dev and test that training lacks."""

import random
import re
from itertools import combinations
from pathlib import Path

import pytest

from nsmc_lightning.data.demo.grammar import (
    SIZES,
    Part,
    clean_review,
    demo_rows,
    infinitive,
    particle,
    phrases,
    write_demo,
)
from nsmc_lightning.errors import UserError

PAIRS = list(combinations(SIZES, 2))
PARTICLES = "(?:이|가|은|는|도)? "
# Words between a subject and its predicate.
ADVERBS = "(?:(?:너무|정말|진짜|참|별로|그다지|전혀|하나도|생각보다|기대했던 것만큼|걱정했던 것만큼) )?(?:안 )?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo")
    write_demo(path)
    return path


def read(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n")]


def clean_reviews(part: Part) -> list[str]:
    chance = random.Random(0)
    choices = phrases(part)
    return [clean_review(chance, choices, praises) for praises in (True, False) * 1_000]


def test_a_seed_decides_the_rows() -> None:
    rows = demo_rows("dev", 50, seed=3)
    assert rows == demo_rows("dev", 50, seed=3)
    assert rows != demo_rows("dev", 50, seed=4)
    # Another process, machine or version of Python must generate these too.
    assert demo_rows("dev", 2, seed=0) == [
        ("dev-00000", "촬영은 기대했던 것만큼 뛰어나지 않지만 스토리가 재밌다!!", "1"),
        ("dev-00001", "웃음은 참 가득하지만 진심이 느껴지지 않음", "0"),
    ]


@pytest.mark.parametrize("part", SIZES)
def test_files_are_complete_and_balanced(folder: Path, part: Part) -> None:
    header, *rows = read(folder / f"{part}.tsv")
    assert header == ["id", "document", "label"]
    assert len(rows) == SIZES[part]
    assert all(len(row) == 3 and row[1].strip() for row in rows)
    assert len({row[0] for row in rows}) == len({row[1] for row in rows}) == len(rows)
    labels = [row[2] for row in rows]
    assert labels.count("0") == labels.count("1") == SIZES[part] // 2
    assert not any(mark in row[1] for row in rows for mark in '"\r')


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_parts_share_no_text(folder: Path, left: Part, right: Part) -> None:
    texts = [{re.sub(r"\W", "", row[1]) for row in read(folder / f"{part}.tsv")[1:]} for part in (left, right)]
    assert not texts[0] & texts[1]


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_parts_share_no_phrase(left: Part, right: Part) -> None:
    pairs = [{(phrase.subject, phrase.stem) for phrase in phrases(part)} for part in (left, right)]
    assert not pairs[0] & pairs[1]


@pytest.mark.parametrize("part", ["dev", "test"])
def test_training_reviews_contain_no_phrase_of_another_part(part: Part) -> None:
    # Endings change the last syllable of a stem, unless it is the only one.
    beginnings = [(phrase.subject, phrase.stem[:-1] or phrase.stem) for phrase in phrases(part)]
    forms = "|".join(f"{subject}{PARTICLES}{ADVERBS}{beginning}" for subject, beginning in beginnings)
    found = re.compile(rf"(?<!\w)(?:{forms})")
    assert not list(filter(found.search, clean_reviews("train")))
    assert all(map(found.search, clean_reviews(part)))  # the search works


def test_every_predicate_of_dev_and_test_is_in_train() -> None:
    known = {(phrase.stem, phrase.praises) for phrase in phrases("train")}
    assert {(phrase.stem, phrase.praises) for part in SIZES for phrase in phrases(part)} == known


def test_no_phrase_both_praises_and_blames() -> None:
    every = [(phrase.subject, phrase.stem) for part in SIZES for phrase in phrases(part)]
    assert len(every) == len(set(every))


@pytest.mark.parametrize(
    ("word", "expected"),
    [("연기", "연기가"), ("음악", "음악이"), ("결말", "결말이"), ("CG", "CG가"), ("지루할 틈", "지루할 틈이")],
)
def test_particles_follow_the_final_consonant(word: str, expected: str) -> None:
    assert word + particle(word, "이", "가") == expected


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        *(
            ("훌륭하", "훌륭해"),
            ("넘치", "넘쳐"),
            ("절로 나오", "절로 나와"),
            ("끝내주", "끝내줘"),
            ("졸게 되", "졸게 돼"),
        ),
        *(
            ("나쁘", "나빠"),
            ("좋", "좋아"),
            ("없", "없어"),
            ("아깝", "아까워"),
            ("압권이", "압권이어"),
            ("빛나", "빛나"),
        ),
    ],
)
def test_infinitives(stem: str, expected: str) -> None:
    assert infinitive(stem) == expected


def test_writing_again_repairs_damaged_files_only(tmp_path: Path) -> None:
    write_demo(tmp_path)
    whole, damaged = tmp_path / "train.tsv", tmp_path / "dev.tsv"
    before, content = whole.stat(), damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    write_demo(tmp_path)
    after = whole.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert damaged.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev.tsv", "test.tsv", "train.tsv"]  # nothing temporary


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file in its place", encoding="utf-8")
    with pytest.raises(UserError, match=r"demo: .* cannot be written \(File exists\)\.\n.*--data\.cache_dir"):
        write_demo(tmp_path / "demo")
