"""Rows of a part: read on first use, and from the file whose checksum was taken."""

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nsmc_lightning.data.corpus import Corpus, Label, Source
from nsmc_lightning.data.parts import Parts
from nsmc_lightning.data.trained_on import TrainedOn
from nsmc_lightning.errors import UserError

LABELS = [Label("0", "negative"), Label("1", "positive")]


def write(path: Path, word: str) -> None:
    table = pd.DataFrame({"text": [f"{word} {i}" for i in range(40)], "label": [i % 2 for i in range(40)]})
    table.to_csv(path, index=False)


def parts_of(folder: Path, dev: str | None = None) -> Parts:
    corpus = Corpus("own", Source("train.csv"), LABELS, dev=Source(dev) if dev else None, format="csv")
    return Parts(
        corpus,
        folder,
        folder / "cache",
        dev_fraction=0.1,
        split_seed=1,
        predict_path=None,
        encoding="utf-8",
        on_bad_rows="error",
    )


def test_train_and_dev_of_one_file_are_read_together(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "영화")
    parts = parts_of(tmp_path)
    assert not parts.counts  # nothing was read yet
    assert len(parts.rows("dev")) == 4
    assert set(parts.counts) == {"train", "dev"}
    assert parts.counts["dev"] == parts.counts["train"]


def test_a_dev_file_is_read_alone(tmp_path: Path) -> None:
    write(tmp_path / "dev.csv", "평가")
    parts = parts_of(tmp_path, dev="dev.csv")  # and there is no train.csv
    assert len(parts.rows("dev")) == parts.counts["dev"]["rows out"] == 40
    assert set(parts.counts) == {"dev"}


def test_rows_without_text_are_counted_where_test_is_split_off(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "영화")
    with (tmp_path / "train.csv").open("a", encoding="utf-8") as file:
        file.write(",1\n")
    parts = parts_of(tmp_path)
    assert (len(parts.raw("train")), len(parts.raw("test"))) == (37, 4)
    parts.rows("train")
    assert (parts.counts["train"]["rows in"], parts.counts["train"]["no text"]) == (37, 1)
    parts.rows("test")
    assert (parts.counts["test"]["rows in"], parts.counts["test"]["no text"]) == (4, 0)


def test_a_file_that_changed_after_its_checksum_was_taken_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "영화")
    parts = parts_of(tmp_path)
    parts.key("train")
    write(tmp_path / "train.csv", "다른")
    with pytest.raises(UserError, match=r"train\.csv: has changed"):
        parts.rows("train")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").mkdir()
    with pytest.raises(UserError, match=r"train\.csv: cannot be read \(Is a directory\)"):
        parts_of(tmp_path).key("train")


def test_predict_needs_a_path(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="predict_path"):
        parts_of(tmp_path).rows("predict")


# With a checkpoint


@pytest.fixture
def trained(tmp_path: Path) -> Parts:
    """Parts with a checkpoint whose model was trained on them."""
    write(tmp_path / "train.csv", "영화")
    parts = parts_of(tmp_path)
    digest = hashlib.sha256((tmp_path / "train.csv").read_bytes()).hexdigest()
    parts.trained_on = TrainedOn(asdict(parts.corpus), {"train.csv": digest})
    for part in ("train", "dev", "test"):
        parts.refuse_other_rows(part)
    return parts


@pytest.mark.parametrize("part", ["train", "dev", "test"])
def test_another_training_file_than_the_checkpoint_s_is_refused(part: str, trained: Parts, tmp_path: Path) -> None:
    other = parts_of(tmp_path / "other")
    other.trained_on = trained.trained_on
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "train.csv", "다른")
    with pytest.raises(
        UserError, match=r"other/train\.csv: not the train\.csv that the checkpoint.*\n.*--data.data_dir"
    ):
        other.refuse_other_rows(part)
    other.corpus = replace(other.corpus, name="renamed", train=Source("copy.csv"))
    (tmp_path / "other" / "copy.csv").write_bytes((tmp_path / "train.csv").read_bytes())
    other.refuse_other_rows(part)  # the same rows by another name


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"test_fraction": 0.5}, "test_fraction is 0.5"),
        ({"test": Source("t")}, "test: .* without a"),
        ({"dev": Source("d")}, "dev: .* without a"),
        ({"text_column": "title"}, "text_column is 'title', but .* 'text'"),
        ({"label_column": "stars"}, "label_column is 'stars'"),
        ({"encoding": "cp949"}, "encoding is 'cp949'"),
        ({"format": "tsv"}, "format is 'tsv'"),
        ({"header": False}, "header is False"),
        ({"repair_quotes": True}, "repair_quotes is True"),
    ],
)
def test_another_reading_or_split_than_the_checkpoint_s_is_refused(
    change: dict[str, Any], key: str, trained: Parts
) -> None:
    trained.corpus = replace(trained.corpus, **change)
    with pytest.raises(UserError, match=key):
        trained.refuse_other_rows("train")


def test_keys_that_decide_no_row_may_differ_from_the_checkpoint_s(trained: Parts, tmp_path: Path) -> None:
    trained.corpus = replace(
        trained.corpus,
        name="renamed",
        train=Source("train.csv", url="https://elsewhere.org/train.csv", sha256="0" * 64),
        labels=[Label("0", "bad", "부정"), Label("1", "good", "긍정")],
        id_column="line",
        licence="CC0",
        korean_unit="글",
    )
    for part in ("train", "dev", "test"):
        trained.refuse_other_rows(part)


def test_dev_and_test_files_need_not_be_those_of_the_checkpoint(trained: Parts) -> None:
    trained.corpus = replace(trained.corpus, dev=Source("d.csv"), test=Source("t.csv"), text_column="title")
    trained.refuse_other_rows("dev")
    trained.refuse_other_rows("test")
