"""The token cache: an entry is complete and the one asked for, or it is made again."""

import multiprocessing
import multiprocessing.synchronize
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsmc_lightning.data import cache
from nsmc_lightning.data.cache import TokenCache, rules_digest, texts_digest
from nsmc_lightning.data.encode import Encoded, EncodedPart

KEY = {"file": "abc", "max_length": 16}


def part(first_token: int = 2) -> EncodedPart:
    encoded = Encoded(
        np.array([first_token, 65_535, 3, 2, 3], np.uint16), np.array([0, 3, 5]), np.array([9, 2], np.int32)
    )
    return EncodedPart(encoded, np.array([1, 0]), np.array([31, 0], np.int32), {"rows in": 3, "rows out": 2}, "물음")


def never() -> EncodedPart:
    raise AssertionError("the part was made again")


def assert_equal(found: EncodedPart, expected: EncodedPart) -> None:
    for name in ("tokens", "offsets", "full_lengths"):
        np.testing.assert_array_equal(getattr(found.reviews, name), getattr(expected.reviews, name), strict=True)
    np.testing.assert_array_equal(found.labels, expected.labels, strict=True)
    np.testing.assert_array_equal(found.characters, expected.characters, strict=True)
    assert (found.counts, found.unknown) == (expected.counts, expected.unknown)


NOTHING = np.zeros(0, np.int32)
EMPTY = EncodedPart(Encoded(NOTHING, np.zeros(1, np.int64), NOTHING), np.zeros(0, np.int64), NOTHING, {}, None)


@pytest.mark.parametrize("made", [part(), EMPTY], ids=["reviews", "no reviews"])
def test_an_entry_is_made_once(made: EncodedPart, tmp_path: Path) -> None:
    assert TokenCache(tmp_path / "tokens").load_or_make(KEY, lambda: made) is made
    found = TokenCache(tmp_path / "tokens").load_or_make(KEY, never)
    assert_equal(found, made)


def test_another_key_is_another_entry(tmp_path: Path) -> None:
    tokens = TokenCache(tmp_path)
    tokens.load_or_make(KEY, part)
    assert_equal(tokens.load_or_make({**KEY, "max_length": 17}, lambda: part(7)), part(7))
    assert_equal(tokens.load_or_make(KEY, never), part())


def _shorten(entry: Path) -> None:
    os.truncate(entry, 400)


def _zero(entry: Path) -> None:
    entry.write_bytes(bytes(entry.stat().st_size))  # as a loss of power can leave it


def _flip(entry: Path) -> None:
    content = bytearray(entry.read_bytes())
    content[content.index(b"NUMPY") + 130] ^= 1  # within the first array
    entry.write_bytes(content)


def _empty(entry: Path) -> None:
    entry.write_bytes(b"")


def _other(entry: Path) -> None:
    np.savez(entry, tokens=NOTHING)


@pytest.mark.parametrize("damage", [_shorten, _zero, _flip, _empty, _other])
def test_a_damaged_entry_is_logged_in_one_line_and_replaced(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = TokenCache(tmp_path)
    tokens.load_or_make(KEY, part)
    damage(tokens.path(KEY))
    with caplog.at_level("INFO", logger="nsmc_lightning"):
        assert_equal(tokens.load_or_make(KEY, lambda: part(7)), part(7))
    assert [record.message.count("\n") for record in caplog.records] == [0]
    assert_equal(tokens.load_or_make(KEY, never), part(7))


def _store_and_load(folder: Path, rounds: int, barrier: multiprocessing.synchronize.Barrier) -> None:
    for i in range(rounds):
        barrier.wait(timeout=600)
        TokenCache(folder).load_or_make({"round": i}, part)
        assert_equal(TokenCache(folder).load_or_make({"round": i}, never), part())


def test_two_processes_may_write_the_same_entry_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # spawned processes would import for seconds
    barrier = context.Barrier(2)
    processes = [context.Process(target=_store_and_load, args=(tmp_path, 40, barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 40


def test_a_write_that_fails_costs_one_warning_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: object, **arrays: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    tokens = TokenCache(tmp_path)
    for number in range(2):
        assert_equal(tokens.load_or_make({"part": number}, part), part())
    assert ["No space left" in record.message for record in caplog.records] == [True]
    assert not list(tmp_path.iterdir())


def test_digest_of_a_folder_covers_names_and_bytes_of_its_labels_texts(tmp_path: Path) -> None:
    for file in ("neg/1.txt", "pos/2.txt", "unsup/3.txt"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text("좋다", encoding="utf-8")
    digests = [texts_digest(tmp_path, ["neg", "pos"])]
    (tmp_path / "unsup" / "4.txt").touch()
    assert texts_digest(tmp_path, ["neg", "pos"]) == digests[0]
    (tmp_path / "pos" / "2.txt").write_text("싫다", encoding="utf-8")
    digests.append(texts_digest(tmp_path, ["neg", "pos"]))
    os.rename(tmp_path / "pos" / "2.txt", tmp_path / "pos" / "5.txt")
    digests.append(texts_digest(tmp_path, ["neg", "pos"]))
    os.rename(tmp_path / "pos" / "5.txt", tmp_path / "neg" / "5.txt")
    digests.append(texts_digest(tmp_path, ["neg", "pos"]))
    assert len(set(digests)) == 4


@pytest.mark.parametrize(
    ("file", "is_rule"),
    [
        ("read.py", True),
        ("formats.py", True),
        ("split.py", True),
        ("a_new_file.py", True),
        ("a_new_folder/rule.py", True),
        ("demo/grammar.py", False),
        ("loader.py", False),
        ("raw_reviews.py", False),
    ],
)
def test_a_changed_rule_changes_the_digest(
    file: str, is_rule: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(cache._FOLDER, copy)
    monkeypatch.setattr(cache, "_FOLDER", copy)
    assert rules_digest.__wrapped__() == rules_digest()
    (copy / file).parent.mkdir(exist_ok=True)
    with (copy / file).open("a") as written:
        written.write("# changed\n")
    assert (rules_digest.__wrapped__() != rules_digest()) == is_rule
