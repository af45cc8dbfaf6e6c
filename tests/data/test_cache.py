"""The token cache: an entry is whole and what was asked for, or it is not there."""

import multiprocessing
import multiprocessing.synchronize
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsmc_lightning.data import cache
from nsmc_lightning.data.cache import entry_folder, file_digest, load_part, rules_digest, store_part
from nsmc_lightning.data.encode import Encoded, EncodedPart

MADE_FROM = {"file": "abc", "max_length": 16}


def part(first_token: int = 2) -> EncodedPart:
    encoded = Encoded(
        np.array([first_token, 65_535, 3, 2, 3], np.uint16), np.array([0, 3, 5]), np.array([9, 2], np.int32)
    )
    return EncodedPart(encoded, np.array([1, 0]), np.array([31, 0], np.int32), {"rows in": 3, "rows out": 2}, "물음")


def assert_equal(found: EncodedPart | None, expected: EncodedPart) -> None:
    assert found is not None
    for name in ("tokens", "offsets", "full_lengths"):
        np.testing.assert_array_equal(getattr(found.encoded, name), getattr(expected.encoded, name), strict=True)
    np.testing.assert_array_equal(found.labels, expected.labels, strict=True)
    np.testing.assert_array_equal(found.characters, expected.characters, strict=True)
    assert (found.counts, found.unknown) == (expected.counts, expected.unknown)


def test_what_is_stored_comes_back_memory_mapped(tmp_path: Path) -> None:
    store_part(tmp_path / "tokens", MADE_FROM, part())
    found = load_part(tmp_path / "tokens", MADE_FROM)
    assert_equal(found, part())
    assert found is not None
    assert isinstance(found.encoded.tokens.base, np.memmap)


def test_a_part_without_reviews_can_be_kept_too(tmp_path: Path) -> None:
    nothing = np.zeros(0, np.int32)
    empty = EncodedPart(Encoded(nothing, np.zeros(1, np.int64), nothing), np.zeros(0, np.int64), nothing, {}, None)
    store_part(tmp_path, MADE_FROM, empty)
    assert_equal(load_part(tmp_path, MADE_FROM), empty)


def test_an_entry_made_from_something_else_is_not_used(tmp_path: Path) -> None:
    store_part(tmp_path, MADE_FROM, part())
    other = {**MADE_FROM, "max_length": 17}
    assert load_part(tmp_path, other) is None
    os.rename(entry_folder(tmp_path, MADE_FROM), entry_folder(tmp_path, other))  # as if two hashes began alike
    assert load_part(tmp_path, other) is None


def _shorten(entry: Path) -> None:
    os.truncate(entry / "tokens.npy", 130)


def _zero(entry: Path) -> None:
    content = (entry / "labels.npy").read_bytes()
    (entry / "labels.npy").write_bytes(content[:-16] + bytes(16))


def _empty(entry: Path) -> None:
    (entry / "offsets.npy").write_bytes(b"")


def _lose(entry: Path) -> None:
    (entry / "characters.npy").unlink()


def _break_json(entry: Path) -> None:
    os.truncate(entry / "part.json", 40)


def _other_json(entry: Path) -> None:
    (entry / "part.json").write_text("[]", encoding="utf-8")


@pytest.mark.parametrize("damage", [_shorten, _zero, _empty, _lose, _break_json, _other_json])
def test_a_damaged_entry_is_noticed_said_in_one_line_and_replaced(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store_part(tmp_path, MADE_FROM, part())
    damage(entry_folder(tmp_path, MADE_FROM))
    with caplog.at_level("INFO", logger="nsmc_lightning"):
        assert load_part(tmp_path, MADE_FROM) is None
    assert [record.message.count("\n") for record in caplog.records] == [0]
    assert not list(tmp_path.iterdir())
    store_part(tmp_path, MADE_FROM, part())
    assert_equal(load_part(tmp_path, MADE_FROM), part())


def test_who_comes_second_leaves_the_entry_as_it_is(tmp_path: Path) -> None:
    store_part(tmp_path, MADE_FROM, part())
    store_part(tmp_path, MADE_FROM, part(first_token=7))
    assert_equal(load_part(tmp_path, MADE_FROM), part())
    assert len(list(tmp_path.iterdir())) == 1


def _store_and_load(folder: Path, rounds: int, barrier: multiprocessing.synchronize.Barrier) -> None:
    for i in range(rounds):
        made_from = {"round": i}
        barrier.wait(timeout=600)
        store_part(folder, made_from, part())
        assert_equal(load_part(folder, made_from), part())


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


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        store_part(tmp_path, MADE_FROM, part())
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next_write_and_work_in_progress_is_not(tmp_path: Path) -> None:
    left, busy = tmp_path / ".new-left", tmp_path / ".new-busy"
    for folder in (left, busy):
        folder.mkdir()
        (folder / "tokens.npy").write_bytes(b"half")
    os.utime(left, (0, 0))
    store_part(tmp_path, MADE_FROM, part())
    assert not left.exists()
    assert busy.exists()


def test_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-4, example B.1
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_digest_of_a_folder_covers_names_and_bytes_of_its_labels_texts(tmp_path: Path) -> None:
    for file in ("neg/1.txt", "pos/2.txt", "unsup/3.txt"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text("좋다", encoding="utf-8")
    digests = [file_digest(tmp_path, ["neg", "pos"])]
    (tmp_path / "unsup" / "4.txt").touch()
    assert file_digest(tmp_path, ["neg", "pos"]) == digests[0]
    (tmp_path / "pos" / "2.txt").write_text("싫다", encoding="utf-8")
    digests.append(file_digest(tmp_path, ["neg", "pos"]))
    os.rename(tmp_path / "pos" / "2.txt", tmp_path / "pos" / "5.txt")
    digests.append(file_digest(tmp_path, ["neg", "pos"]))
    os.rename(tmp_path / "pos" / "5.txt", tmp_path / "neg" / "5.txt")
    digests.append(file_digest(tmp_path, ["neg", "pos"]))
    assert len(set(digests)) == 4


@pytest.mark.parametrize("rule", ["read.py", "formats.py", "split.py", "a_new_file.py"])
def test_a_changed_rule_changes_the_digest(rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "data"
    shutil.copytree(cache._FOLDER, copy)
    monkeypatch.setattr(cache, "_FOLDER", copy)
    assert rules_digest.__wrapped__() == rules_digest()
    with (copy / rule).open("a") as file:
        file.write("# changed\n")
    assert rules_digest.__wrapped__() != rules_digest()
