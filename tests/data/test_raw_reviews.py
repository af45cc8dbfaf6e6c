"""From the archive of NSMC's repository to reviews without its test part: each rule, odd members, the real table."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

from nsmc_lightning.data import raw_reviews
from nsmc_lightning.data.corpus import Source
from nsmc_lightning.data.raw_reviews import build_reviews, letters, rows_digest, without_test
from nsmc_lightning.errors import UserError
from tests.conftest import ROOT
from tests.data.conftest import archive_of

PARTS = {
    "ratings_train.txt": 'id\tdocument\tlabel\n11\t정말 좋다\t1\n12\t"그는 ""굿""이라 했다"\t0\n',
    "ratings_test.txt": "id\tdocument\tlabel\n21\t최고의 영화!\t1\n22\t...\t0\n",
}
MOVIES = {"raw/900.json": [(12, '그는 "굿"이라 했다', 4), (21, "최고의 영화!", 9), (31, "그저 그래요\r\n두 줄", 7)]}
MOVIES["raw/55.json"] = [(30, "볼만한  영화", 8), (11, "정말 좋다", 10), (22, "...", 1)]


def movie(reviews: Iterable[tuple[int, str | None, int]], number: str = "7") -> str:
    """A movie's file as its crawler wrote it."""
    names = ("review_id", "review", "rating", "author", "date", "movie_id")
    rows = [(str(i), text, str(rating), "abcd****", f"15.08.{i}", number) for i, text, rating in reviews]
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False, indent=2)


def members(movies: dict[str, list[tuple[int, str, int]]] = MOVIES) -> dict[str, str]:
    """The members of an archive of the repository."""
    files = {name: movie(reviews, name[4:-5]) for name, reviews in movies.items()}
    return {f"nsmc-cc0670e/{name}": text for name, text in {"README.md": "# NSMC", **PARTS, **files}.items()}


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checksums of the small parts in place of NSMC's."""
    sources = [Source(name, sha256=hashlib.sha256(text.encode()).hexdigest()) for name, text in PARTS.items()]
    monkeypatch.setattr(raw_reviews, "PARTS", sources)


def build(folder: Path, archive: bytes, digest: str | None = None) -> list[dict[str, Any]]:
    """The reviews that an archive becomes."""
    (folder / "nsmc.tar.gz").write_bytes(archive)
    (folder / "built").mkdir()
    build_reviews(folder / "nsmc.tar.gz", folder / "built", digest)
    return pyarrow.parquet.read_table(folder / "built" / "reviews.parquet").to_pylist()


# The table


def test_an_archive_becomes_reviews_sorted_by_id(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="nsmc_lightning"):
        rows = build(tmp_path, archive_of(members()))
    columns = ("id", "text", "rating", "movie_id", "date", "in_train")
    assert rows == [
        dict(zip(columns, row, strict=True))
        for row in [
            (11, "정말 좋다", 10, 55, "15.08.11", True),
            (12, '그는 "굿"이라 했다', 4, 900, "15.08.12", True),
            (30, "볼만한  영화", 8, 55, "15.08.30", False),
            (31, "그저 그래요\r\n두 줄", 7, 900, "15.08.31", False),
        ]
    ]
    types = [pa.int64(), pa.string(), pa.int8(), pa.int32(), pa.string(), pa.bool_()]
    assert pyarrow.parquet.read_schema(tmp_path / "built" / "reviews.parquet").types == types
    (message,) = caplog.messages
    assert [int(line.split()[-1]) for line in message.splitlines()[1:]] == [6, 0, 2, 0, 0, 4]


def test_the_movies_of_the_test_part(tmp_path: Path) -> None:
    twice = {**MOVIES, "raw/56.json": [(22, "...", 1)]}
    build(tmp_path, archive_of(members(twice)))
    table = pyarrow.parquet.read_table(tmp_path / "built" / "test_movies.parquet")
    assert table.schema.types == [pa.int64(), pa.int32(), pa.string()]
    assert [tuple(row.values()) for row in table.to_pylist()] == [(21, 900, "15.08.21"), (22, 55, "15.08.22")]


def test_the_order_of_members_does_not_matter(tmp_path: Path) -> None:
    rows = []
    for i, order in enumerate((list, reversed)):
        (tmp_path / str(i)).mkdir()
        rows.append(build(tmp_path / str(i), archive_of(dict(order(members().items())))))
    assert rows[0] == rows[1]


# The rules

TEST = {1: "최고의 영화!", 2: "Good 10점", 3: "ㅠㅠ...", 4: "?!"}


@pytest.mark.parametrize(
    ("number", "text", "rule"),
    [
        (50, "볼만하다", None),
        (50, "최고의 영화였다", None),
        (50, "ㅠ", None),
        (1, "최고의 영화!", "test part"),
        (2, "edited afterwards", "test part"),
        (50, "최고의 영화!", "same text as a test review"),
        (50, " 최고의~~ 영화^^", "same text as a test review"),
        (50, "ＧＯＯＤ１０점", "same text as a test review"),
        (50, "ㅠㅠ", "same text as a test review"),
        (50, "!!!", "same text as a test review"),  # no letters, as the test text ?!
        (11, "최고의 영화!", None),
        (11, "!!!", None),
        (50, "", "no text"),
        (50, " \r\n\t", "no text"),
        (50, None, "no text"),
        (11, "", "no text"),
        (40, "again", "repeated reviews"),
    ],
)
def test_a_review_is_left_out_by_one_rule(number: int, text: str | None, rule: str | None) -> None:
    """Beside another one, with id 40; 11 is in NSMC's train part."""
    reviews = pd.DataFrame({"id": [40, number], "text": pd.Series(["그저 그래요", text], dtype=object)})
    rows, counts = without_test(reviews, {11}, TEST)
    assert list(rows["text"]) == ["그저 그래요", *([text] if rule is None else [])]
    assert list(rows["in_train"]) == [False, number == 11][: len(rows)]
    assert {name for name, count in counts.items() if count} - {"rows in", "rows out"} == ({rule} - {None})
    assert (counts["rows in"], counts["rows out"]) == (2, len(rows))


def test_reviews_without_letters_stay_where_test_has_none() -> None:
    rows, _ = without_test(pd.DataFrame({"id": [50], "text": ["!!!"]}), [], {1: "최고"})
    assert list(rows["text"]) == ["!!!"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\n", ""),
        ("?!…~^^♥", ""),
        ("Ａb 1②", "ab12"),
        ("한글 글", "한글글"),
        ("ㅋㅋ ㅠ", "\u110f\u110f\u1172"),
        ("İ_é", "ié"),
    ],
)
def test_letters(text: str, expected: str) -> None:
    assert letters(text) == expected


def test_the_digest_is_of_lines_in_the_order_of_ids() -> None:
    rows = pd.DataFrame({"id": [20, 3], "text": ["좋다", "a\tb\n"], "rating": [10, 1], "movie_id": [1, 2]})
    assert rows_digest(rows) == hashlib.sha256("3\ta\tb\n\t1\n20\t좋다\t10\n".encode()).hexdigest()


# Odd archives


def test_odd_members_are_ignored(tmp_path: Path) -> None:
    odd = {
        "nsmc-cc0670e/raw/x.json": "[",
        "nsmc-cc0670e/raw/1.json.txt": "[",
        "nsmc-cc0670e/raw/more/1.json": "[",
        "nsmc-cc0670e/other/1.json": "[",
        "nsmc-cc0670e/data/ratings_test.txt": "another",
        "../raw/../../1.json": "[",
        "/raw.json": "[",
        "1.json": "[",
    }
    buffer = io.BytesIO(archive_of({**odd, **members()}))
    links = io.BytesIO()
    with tarfile.open(fileobj=buffer) as plain, tarfile.open(fileobj=links, mode="w:gz") as tar:
        for kind, name in (
            (tarfile.SYMTYPE, "1"),
            (tarfile.LNKTYPE, "2"),
            (tarfile.DIRTYPE, "3"),
            (tarfile.FIFOTYPE, "4"),
        ):
            info = tarfile.TarInfo(f"nsmc-cc0670e/raw/{name}.json")
            info.type, info.linkname = kind, "nsmc-cc0670e/raw/55.json"
            tar.addfile(info)
        for member in plain:
            tar.addfile(member, plain.extractfile(member))
    assert [row["id"] for row in build(tmp_path, links.getvalue())] == [11, 12, 30, 31]
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "built", "nsmc.tar.gz", "reviews.parquet", "test_movies.parquet"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[",
        '{"review": "좋다"}',
        "[3]",
        "3",
        '[{"review": "좋다", "rating": "9", "movie_id": "1", "date": "15.08.01"}]',
        movie([(60, "좋다", 300)]),
        movie([(60, "좋다", 9)]).replace('"9"', '"nine"'),
        movie([(60, "좋다", 9)]).replace('"60"', "null"),
        movie([(10**30, "좋다", 9)]),
        movie([(60, "좋다", 9)]).replace('"좋다"', "3"),
        movie([(60, "좋다", 9)]).replace('"좋다"', r'"\ud83d"'),
    ],
)
def test_a_movie_that_is_no_list_of_reviews_is_named(content: str, tmp_path: Path) -> None:
    archive = archive_of({**members(), "nsmc-cc0670e/raw/66.json": content})
    with pytest.raises(UserError, match=r"nsmc\.tar\.gz, nsmc-cc0670e/raw/66\.json: .*list of reviews"):
        build(tmp_path, archive)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("raw/", r"raw/\*\.json"),
        ("ratings_train.txt", r"ratings_train\.txt"),
        ("ratings_test.txt", r"ratings_test\.txt"),
    ],
)
def test_an_archive_of_something_else_is_refused(missing: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"nsmc\.tar\.gz.*{words}.*e9t/nsmc"):
        build(tmp_path, archive_of({name: text for name, text in members().items() if missing not in name}))


def test_another_version_of_the_test_part_is_refused(tmp_path: Path) -> None:
    other = {**members(), "nsmc-cc0670e/ratings_test.txt": "id\tdocument\tlabel\n31\t그저 그래요 두 줄\t0\n"}
    with pytest.raises(UserError, match=r"ratings_test\.txt.*\n.*commit"):
        build(tmp_path, archive_of(other))


def test_other_reviews_than_those_of_the_digest_are_refused(tmp_path: Path) -> None:
    found = "".join(f"{row['id']}\t{row['text']}\t{row['rating']}\n" for row in build(tmp_path, archive_of(members())))
    digest = hashlib.sha256(found.encode()).hexdigest()
    for folder, rating in (("same", 7), ("other", 6)):
        (tmp_path / folder).mkdir()
        movies = {**MOVIES, "raw/900.json": [*MOVIES["raw/900.json"][:2], (31, "그저 그래요\r\n두 줄", rating)]}
        if folder == "same":
            build(tmp_path / folder, archive_of(members(movies)), digest)
            continue
        with pytest.raises(UserError) as refusal:
            build(tmp_path / folder, archive_of(members(movies)), digest)
        assert str(refusal.value).count("\n") == 1
        assert all(word in str(refusal.value) for word in ("nsmc.tar.gz", digest, "commit", "data_dir"))
        assert list((tmp_path / folder / "built").iterdir()) == []


# The real reviews


def test_the_real_reviews_have_the_digest_and_no_test_text(shared: Path) -> None:
    corpus = yaml.safe_load((ROOT / "configs" / "corpus" / "nsmc_raw.yaml").read_text(encoding="utf-8"))
    reviews = pd.read_parquet(shared / "nsmc" / "reviews.parquet")
    assert rows_digest(reviews) == corpus["digest"]
    train, test = (
        [line.split("\t") for line in (shared / "nsmc" / name).read_text(encoding="utf-8").split("\n")[1:-1]]
        for name in PARTS
    )
    assert not set(reviews["id"]) & {int(number) for number, _, _ in test}
    in_train = reviews["in_train"].to_numpy()
    assert set(reviews["id"][in_train]) == {int(number) for number, text, _ in train if text}
    assert not {letters(text) for text in reviews["text"][~in_train]} & {letters(text) for _, text, _ in test}
