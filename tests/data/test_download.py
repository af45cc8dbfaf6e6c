"""Downloads from a local server: complete files only, checksums, archives, and the messages of errors."""

import errno
import hashlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nsmc_lightning.data import download
from nsmc_lightning.data.corpus import Source
from nsmc_lightning.data.download import fetch
from nsmc_lightning.errors import UserError
from tests.data.conftest import CONTENT, Server, archive_of

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def source(server: Server) -> Source:
    return Source("ratings.txt", server.url, SHA256)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_file_is_downloaded_once(server: Server, source: Source, tmp_path: Path) -> None:
    path = fetch(source, None, "nsmc", tmp_path)
    assert path == tmp_path / "nsmc" / "ratings.txt"
    assert path.read_bytes() == CONTENT
    assert fetch(source, None, "nsmc", tmp_path) == path
    assert server.ranges == [None]
    assert names(path.parent) == ["ratings.txt"]


def test_no_bar_where_there_is_no_terminal(source: Source, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetch(source, None, "nsmc", tmp_path)
    assert capfd.readouterr() == ("", "")


def fetch_twice_at_once(source: Source, cache_dir: Path) -> list[bytes]:
    """What each of two runs reads."""
    together = threading.Barrier(2)

    def one(_: int) -> bytes:
        together.wait()
        return fetch(source, None, "nsmc", cache_dir).read_bytes()

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(2)))


def test_the_second_of_two_runs_waits_and_takes_the_file(server: Server, source: Source, tmp_path: Path) -> None:
    server.pieces = 10
    assert fetch_twice_at_once(source, tmp_path) == [CONTENT] * 2
    assert server.ranges == [None]
    assert names(tmp_path / "nsmc") == ["ratings.txt"]


def test_without_locks_each_run_has_a_file_of_its_own(
    server: Server, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unsupported)
    server.pieces = 10
    assert fetch_twice_at_once(source, tmp_path) == [CONTENT] * 2
    assert server.ranges == [None, None]
    assert names(tmp_path / "nsmc") == ["ratings.txt"]


def test_a_shared_cache_can_be_read_by_others(source: Source, tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    assert fetch(source, None, "nsmc", tmp_path).stat().st_mode == (tmp_path / "new").stat().st_mode


# Resume


def test_a_broken_download_resumes(server: Server, source: Source, tmp_path: Path) -> None:
    server.cut = 100_000
    with pytest.raises(UserError, match="broke off; the next attempt resumes"):
        fetch(source, None, "nsmc", tmp_path)
    have = (tmp_path / "nsmc" / "ratings.txt.part").stat().st_size
    assert 0 < have <= 100_000
    server.cut = None
    assert fetch(source, None, "nsmc", tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={have}-"]
    assert names(tmp_path / "nsmc") == ["ratings.txt"]


@pytest.mark.parametrize(
    ("part", "ranges"),
    [
        (CONTENT, [f"bytes={len(CONTENT)}-"]),
        (CONTENT + b"?", [f"bytes={len(CONTENT) + 1}-", None]),
    ],
    ids=["complete", "longer than the file"],
)
def test_a_part_without_a_rest(
    server: Server, source: Source, tmp_path: Path, part: bytes, ranges: list[str | None]
) -> None:
    (tmp_path / "nsmc").mkdir()
    (tmp_path / "nsmc" / "ratings.txt.part").write_bytes(part)
    assert fetch(source, None, "nsmc", tmp_path).read_bytes() == CONTENT
    assert server.ranges == ranges


def test_a_server_without_ranges_sends_all_again(server: Server, source: Source, tmp_path: Path) -> None:
    (tmp_path / "nsmc").mkdir()
    (tmp_path / "nsmc" / "ratings.txt.part").write_bytes(CONTENT[:1000])
    server.knows_ranges = False
    assert fetch(source, None, "nsmc", tmp_path).read_bytes() == CONTENT


# Refused


def test_a_wrong_checksum_is_refused(server: Server, source: Source, tmp_path: Path) -> None:
    server.content = b"<html>Please log in to this network.</html>"
    found = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(UserError) as refused:
        fetch(source, None, "nsmc", tmp_path)
    assert names(tmp_path / "nsmc") == []
    assert all(word in str(refused.value) for word in (server.url, found, SHA256, "--data.data_dir"))
    server.content = CONTENT
    assert fetch(source, None, "nsmc", tmp_path).read_bytes() == CONTENT


def test_without_a_checksum_anything_whole_is_taken(server: Server, tmp_path: Path) -> None:
    assert fetch(Source("ratings.txt", server.url), None, "mine", tmp_path).read_bytes() == CONTENT


def assert_says_the_ways_out(error: UserError, url: str, target: Path) -> None:
    message = str(error)
    assert message.count("\n") == 1
    assert all(word in message for word in (url, str(target), "--data.data_dir", "configs/demo.yaml"))


@pytest.mark.parametrize("status", [404, 503])
def test_http_errors(server: Server, source: Source, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(UserError, match=f"HTTP {status}") as refused:
        fetch(source, None, "nsmc", tmp_path)
    assert_says_the_ways_out(refused.value, server.url, tmp_path / "nsmc" / "ratings.txt")
    assert names(tmp_path / "nsmc") == []


def test_no_connection(tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/ratings.txt"
        with pytest.raises(UserError, match="no connection") as refused:
            fetch(Source("ratings.txt", url), None, "nsmc", tmp_path)
    assert_says_the_ways_out(refused.value, url, tmp_path / "nsmc" / "ratings.txt")


def test_a_server_that_never_answers(
    server: Server, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_TIMEOUT", (1, 0.1))
    server.stalls = True
    with pytest.raises(UserError, match="timed out"):
        fetch(source, None, "nsmc", tmp_path)


def test_a_cache_that_cannot_be_written(source: Source, tmp_path: Path) -> None:
    (tmp_path / "nsmc").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"cannot be downloaded \(.*File exists"):
        fetch(source, None, "nsmc", tmp_path)


# The user's own folder


def test_the_user_s_file_is_used_as_it_is(server: Server, source: Source, tmp_path: Path) -> None:
    (tmp_path / "ratings.txt").write_text("my own rows")
    assert fetch(source, tmp_path, "nsmc", tmp_path / "cache") == tmp_path / "ratings.txt"
    assert server.ranges == []
    assert not (tmp_path / "cache").exists()


def test_a_missing_file_of_the_users_is_named(server: Server, source: Source, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        fetch(source, tmp_path / "here", "nsmc", tmp_path)
    assert all(word in str(refused.value) for word in (str(tmp_path / "here" / "ratings.txt"), server.url))
    assert server.ranges == []


def test_a_source_without_address_asks_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"own\.tsv.*--data\.data_dir"):
        fetch(Source("own.tsv"), None, "own", tmp_path)


# Archives


REVIEWS = archive_of({"aclImdb/train/neg/0_2.txt": "Dull.", "aclImdb/test/pos/0_9.txt": "Good."})


def part_source(part: str, server: Server | None = None) -> Source:
    return Source(f"aclImdb/{part}", server.url if server else None, archive="aclImdb_v1.tar.gz")


def test_two_sources_share_an_archive(server: Server, tmp_path: Path) -> None:
    server.content = REVIEWS
    train = fetch(part_source("train", server), None, "imdb", tmp_path)
    test = fetch(part_source("test", server), None, "imdb", tmp_path)
    assert (train / "neg" / "0_2.txt").read_text() == "Dull."
    assert (test / "pos" / "0_9.txt").read_text() == "Good."
    assert server.ranges == [None]
    assert train.parent == test.parent
    assert len(names(tmp_path / "imdb")) == 2  # the archive and its content, nothing half-done


def test_the_users_archive_is_unpacked_to_the_cache(tmp_path: Path) -> None:
    mine, cache = tmp_path / "mine", tmp_path / "cache"
    mine.mkdir()
    (mine / "aclImdb_v1.tar.gz").write_bytes(REVIEWS)
    train = fetch(part_source("train"), mine, "imdb", cache)
    assert train.is_relative_to(cache / "imdb")
    assert names(mine) == ["aclImdb_v1.tar.gz"]
    (mine / "aclImdb" / "train").mkdir(parents=True)
    assert fetch(part_source("train"), mine, "imdb", cache) == mine / "aclImdb" / "train"  # unpacked wins


def test_another_archive_of_the_same_name_is_unpacked_anew(tmp_path: Path) -> None:
    archive = tmp_path / "aclImdb_v1.tar.gz"
    archive.write_bytes(REVIEWS)
    fetch(part_source("train"), tmp_path, "imdb", tmp_path / "cache")
    archive.write_bytes(archive_of({"aclImdb/train/neg/0_2.txt": "Another review."}))
    train = fetch(part_source("train"), tmp_path, "imdb", tmp_path / "cache")
    assert (train / "neg" / "0_2.txt").read_text() == "Another review."


@pytest.mark.parametrize(
    "content",
    [
        archive_of({"aclImdb/train/neg/0_2.txt": "Dull.", "../outside.txt": "Elsewhere."}),
        REVIEWS[: len(REVIEWS) // 2],
        REVIEWS[:100] + bytes(20) + REVIEWS[120:],
        REVIEWS[:-8] + bytes(4) + REVIEWS[-4:],
        b"not an archive",
    ],
    ids=["outside", "truncated", "damaged", "wrong checksum of its own", "no archive"],
)
def test_a_damaged_or_hostile_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    mine, cache = tmp_path / "mine", tmp_path / "cache"
    mine.mkdir()
    (mine / "aclImdb_v1.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"aclImdb_v1\.tar\.gz: cannot be unpacked"):
        fetch(part_source("train"), mine, "imdb", cache)
    assert names(cache / "imdb") == []
    assert not list(tmp_path.rglob("outside.txt"))


def test_an_archive_without_the_part(tmp_path: Path) -> None:
    (tmp_path / "aclImdb_v1.tar.gz").write_bytes(REVIEWS)
    with pytest.raises(UserError, match="does not contain aclImdb/dev"):
        fetch(part_source("dev"), tmp_path, "imdb", tmp_path / "cache")


def test_a_missing_archive_of_the_users_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"aclImdb/train: there is no such file, nor aclImdb_v1\.tar\.gz"):
        fetch(part_source("train"), tmp_path, "imdb", tmp_path / "cache")
