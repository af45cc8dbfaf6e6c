"""Rows of a part: read when they are asked for, and from the file that they were promised from."""

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nsmc_lightning.data.corpus import Corpus, Label, Source, TrainedOn
from nsmc_lightning.data.parts import PartRows
from nsmc_lightning.errors import UserError

LABELS = [Label("0", "negative"), Label("1", "positive")]


def write(path: Path, word: str) -> None:
    table = pd.DataFrame({"text": [f"{word} {i}" for i in range(40)], "label": [i % 2 for i in range(40)]})
    table.to_csv(path, index=False)


def part_rows(folder: Path, dev: str | None = None) -> PartRows:
    corpus = Corpus("own", Source("train.csv"), LABELS, dev=Source(dev) if dev else None, format="csv")
    return PartRows(
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
    rows = part_rows(tmp_path)
    assert "dev" not in rows
    assert len(rows["dev"]) == 4
    assert set(rows) == {"train", "dev"}
    assert rows.counts["dev"] == rows.counts["train"]


def test_a_dev_file_is_read_alone(tmp_path: Path) -> None:
    write(tmp_path / "dev.csv", "평가")
    rows = part_rows(tmp_path, dev="dev.csv")  # and there is no train.csv
    assert len(rows["dev"]) == rows.counts["dev"]["rows out"] == 40
    assert set(rows) == {"dev"}


def test_a_file_that_changed_after_its_tokens_were_promised_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "영화")
    rows = part_rows(tmp_path)
    rows.made_from("train")
    write(tmp_path / "train.csv", "다른")
    with pytest.raises(UserError, match=r"train\.csv: has changed"):
        rows["train"]


def test_predict_needs_a_path(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="predict_path"):
        part_rows(tmp_path)["predict"]


# Beside a checkpoint


@pytest.fixture
def trained(tmp_path: Path) -> PartRows:
    """The rows beside a checkpoint that was trained on them."""
    write(tmp_path / "train.csv", "영화")
    rows = part_rows(tmp_path)
    digest = hashlib.sha256((tmp_path / "train.csv").read_bytes()).hexdigest()
    rows.trained_on = TrainedOn(asdict(rows.corpus), {"train.csv": digest})
    for part in ("train", "dev", "test"):
        rows.refuse_another_split(part)
    return rows


@pytest.mark.parametrize("part", ["train", "dev", "test"])
def test_another_training_file_beside_a_checkpoint_is_refused(part: str, trained: PartRows, tmp_path: Path) -> None:
    other = part_rows(tmp_path / "other")
    other.trained_on = trained.trained_on
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "train.csv", "다른")
    with pytest.raises(
        UserError, match=r"other/train\.csv: not the train\.csv that the checkpoint.*\n.*--data.data_dir"
    ):
        other.refuse_another_split(part)
    other.corpus = replace(other.corpus, name="renamed", train=Source("copy.csv"))
    (tmp_path / "other" / "copy.csv").write_bytes((tmp_path / "train.csv").read_bytes())
    other.refuse_another_split(part)  # the same rows by another name


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
        ({"labels": LABELS[::-1]}, "labels are"),
    ],
)
def test_another_reading_or_split_beside_a_checkpoint_is_refused(
    change: dict[str, Any], key: str, trained: PartRows
) -> None:
    trained.corpus = replace(trained.corpus, **change)
    with pytest.raises(UserError, match=key):
        trained.refuse_another_split("train")


def test_what_decides_no_row_may_differ_beside_a_checkpoint(trained: PartRows, tmp_path: Path) -> None:
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
        trained.refuse_another_split(part)


def test_a_file_of_its_own_beside_a_checkpoint_may_be_any(trained: PartRows) -> None:
    trained.corpus = replace(trained.corpus, dev=Source("d.csv"), test=Source("t.csv"), text_column="title")
    trained.refuse_another_split("dev")
    trained.refuse_another_split("test")
