"""Raw corpora: the shipped ones, files of the user's, archives from a local server that become files in the cache."""

import hashlib
import random
from pathlib import Path

import pandas as pd
import pytest
from jsonargparse import ArgumentParser

from nsmc_lightning.data import raw_reviews
from nsmc_lightning.data.corpus import Source
from nsmc_lightning.data.raw_corpus import RawCorpus, raw_path
from nsmc_lightning.data.raw_reviews import rows_digest
from nsmc_lightning.errors import UserError
from tests.conftest import ROOT
from tests.data.conftest import CONTENT, Server, archive_of

FOLDER = ROOT / "configs" / "corpus"
PARTS = {
    "ratings_train.txt": "id\tdocument\tlabel\n1\t좋다\t1\n",
    "ratings_test.txt": "id\tdocument\tlabel\n2\t싫다\t0\n",
}
REVIEW = (
    '{"review_id": "%d", "review": "%s", "rating": "%d", "date": "15.08.25", "movie_id": "7", "author": "abcd****"}'
)
MOVIE = f"[{REVIEW % (1, '좋다', 10)}, {REVIEW % (2, '싫다', 1)}, {REVIEW % (3, '그저 그래요', 6)}]"
NOISE = random.Random(0).randbytes(200_000).hex()  # the archive is downloaded in more than one chunk
MEMBERS = {**PARTS, "raw/7.json": MOVIE, "noise.txt": NOISE}
ARCHIVE = archive_of({f"nsmc-cc0670e/{name}": text for name, text in MEMBERS.items()})
DIGEST = hashlib.sha256("1\t좋다\t10\n3\t그저 그래요\t6\n".encode()).hexdigest()


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checksums of the small parts in place of NSMC's."""
    sources = [Source(name, sha256=hashlib.sha256(text.encode()).hexdigest()) for name, text in PARTS.items()]
    monkeypatch.setattr(raw_reviews, "PARTS", sources)


def nsmc_raw(url: str | None, digest: str | None = DIGEST) -> RawCorpus:
    return RawCorpus("reviews.parquet", "nsmc-raw", url, "nsmc.tar.gz", "nsmc", digest)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def load(name: str) -> RawCorpus:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--corpus", type=RawCorpus)
    corpus = parser.instantiate(parser.parse_args([f"--corpus={FOLDER / name}.yaml"])).corpus
    assert isinstance(corpus, RawCorpus)
    return corpus


@pytest.mark.parametrize("name", [path.stem for path in FOLDER.glob("*_raw.yaml")])
def test_a_shipped_corpus_is_complete(name: str) -> None:
    corpus = load(name)
    assert corpus.name == name.replace("_", "-")
    assert corpus.licence
    assert corpus.url
    assert corpus.digest
    assert len(bytes.fromhex(corpus.digest)) == 32
    assert (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")


def test_reviews_are_of_the_commit_of_nsmc() -> None:
    corpus = load("nsmc_raw")
    commit = (raw_reviews.NSMC.train.url or "").split("/")[-2]
    assert corpus.url == f"https://codeload.github.com/e9t/nsmc/tar.gz/{commit}"
    assert corpus.archive == f"nsmc-{commit}.tar.gz"
    assert corpus.file == raw_reviews.REVIEWS
    assert (corpus.id_column, corpus.text_column, corpus.rating_column) == ("id", "text", "rating")


# Built from an archive


def test_an_archive_is_downloaded_and_built_from_once(server: Server, tmp_path: Path) -> None:
    server.content = ARCHIVE
    path = raw_path(nsmc_raw(server.url), None, tmp_path)
    assert rows_digest(pd.read_parquet(path)) == DIGEST
    assert path.is_relative_to(tmp_path / "nsmc-raw")
    written = path.stat().st_mtime_ns
    assert raw_path(nsmc_raw(server.url), None, tmp_path) == path
    assert (server.ranges, path.stat().st_mtime_ns) == ([None], written)
    assert files(tmp_path) == ["nsmc.tar.gz", "reviews.parquet", "test_movies.parquet"]


def test_a_broken_download_of_the_archive_resumes(server: Server, tmp_path: Path) -> None:
    server.content, server.cut = ARCHIVE, len(ARCHIVE) // 2
    with pytest.raises(UserError, match="the next attempt resumes"):
        raw_path(nsmc_raw(server.url), None, tmp_path)
    assert files(tmp_path) == ["nsmc.tar.gz.part"]
    have = (tmp_path / "nsmc-raw" / "nsmc.tar.gz.part").stat().st_size
    server.cut = None
    assert raw_path(nsmc_raw(server.url), None, tmp_path).is_file()
    assert server.ranges == [None, f"bytes={have}-"]


def test_an_archive_with_other_reviews_leaves_nothing_to_read(server: Server, tmp_path: Path) -> None:
    server.content = ARCHIVE
    with pytest.raises(UserError, match=f"{DIGEST}, not {'0' * 64}"):
        raw_path(nsmc_raw(server.url, "0" * 64), None, tmp_path)
    assert files(tmp_path) == ["nsmc.tar.gz"]


@pytest.mark.parametrize("content", [ARCHIVE[: len(ARCHIVE) // 2], ARCHIVE[:-8] + bytes(4) + ARCHIVE[-4:], b"<html>"])
def test_a_damaged_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "nsmc.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"nsmc\.tar\.gz: cannot be unpacked"):
        raw_path(nsmc_raw(None), tmp_path, tmp_path / "cache")
    assert files(tmp_path / "cache") == []


# The user's own folder


def test_the_users_file_comes_before_the_archive(server: Server, tmp_path: Path) -> None:
    mine, cache = tmp_path / "mine", tmp_path / "cache"
    mine.mkdir()
    (mine / "nsmc.tar.gz").write_bytes(ARCHIVE)
    built = raw_path(nsmc_raw(server.url), mine, cache)
    assert built.is_relative_to(cache)
    assert files(mine) == ["nsmc.tar.gz"]
    (mine / "reviews.parquet").write_text("my own")
    assert raw_path(nsmc_raw(server.url), mine, cache) == mine / "reviews.parquet"
    assert server.ranges == []


def test_a_folder_with_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"reviews\.parquet: there is no such file, nor nsmc\.tar\.gz"):
        raw_path(nsmc_raw("http://127.0.0.1/x"), tmp_path, tmp_path / "cache")


# A plain file


def test_a_plain_file_is_downloaded_and_checked(server: Server, tmp_path: Path) -> None:
    mine = RawCorpus("comments.txt", "mine", server.url, digest=hashlib.sha256(CONTENT).hexdigest())
    assert raw_path(mine, None, tmp_path).read_bytes() == CONTENT
    with pytest.raises(UserError, match="sha256 of the download"):
        raw_path(RawCorpus("other.txt", "mine", server.url, digest="0" * 64), None, tmp_path)


def test_a_file_without_address_is_in_the_users_folder_or_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "comments.txt").write_text("좋다\n", encoding="utf-8")
    assert raw_path(RawCorpus("comments.txt", "mine"), tmp_path, tmp_path / "cache") == tmp_path / "comments.txt"
    assert raw_path(RawCorpus(str(tmp_path / "comments.txt"), "mine"), Path(), tmp_path).is_file()
    assert raw_path(RawCorpus("comments.txt"), None, tmp_path / "cache") == Path("comments.txt")


@pytest.mark.parametrize("path", ["/x", "../x", "a/../../x", "C:x", ""])
def test_a_download_stays_in_the_cache(path: str) -> None:
    url = "http://127.0.0.1/x"
    for name, corpus in {
        "raw corpus": {"name": path, "file": "x.txt"},
        "file": {"name": "mine", "file": path, "url": url},
        "archive": {"name": "mine", "file": "x.txt", "url": url, "archive": path},
    }.items():
        with pytest.raises(UserError, match=name):
            RawCorpus(**corpus)


def test_to_build_needs_an_archive() -> None:
    with pytest.raises(UserError, match="build nsmc needs archive"):
        RawCorpus("reviews.parquet", "mine", "http://127.0.0.1/x", build="nsmc")
