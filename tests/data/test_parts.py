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


def test_all_rows_of_the_training_file_are_returned_with_clean_texts(tmp_path: Path) -> None:
    rows = [("1", " 굿 ", "0"), ("2", "굿", "1"), ("3", "굿", "0"), ("4", " ", "0"), ("5", '"이 ""영화"""', "9")]
    pd.DataFrame(rows, columns=["id", "text", "label"]).to_csv(tmp_path / "train.csv", index=False)
    write(tmp_path / "dev.csv", "평가")
    parts = parts_of(tmp_path, dev="dev.csv")
    parts.corpus = replace(parts.corpus, id_column="id", dev=None, test=Source("test.csv"), repair_quotes=True)
    found = parts.training_rows()
    assert found.to_numpy().tolist() == [
        ["1", 2, "굿", "train"],
        ["2", 3, "굿", "train"],
        ["3", 4, "굿", "train"],
        ["5", 6, '이 "영화"', "train"],
    ]


def test_training_rows_are_those_of_train_and_dev_but_not_of_test(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "영화")
    write(tmp_path / "dev.csv", "평가")
    alone, with_dev = parts_of(tmp_path), parts_of(tmp_path, dev="dev.csv")
    test = set(alone.rows("test")["text"])  # split off train.csv
    assert set(alone.training_rows()["text"]) == {f"영화 {i}" for i in range(40)} - test
    both = with_dev.training_rows()
    assert set(both["text"]) == {f"영화 {i}" for i in range(40)} - test | {f"평가 {i}" for i in range(40)}
    assert both["part"].value_counts().to_dict() == {"dev": 40, "train": 40 - len(test)}


def test_groups_do_not_change_the_key_of_rows(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "영화")
    parts = parts_of(tmp_path)
    key = parts.key("train")
    parts.corpus = replace(parts.corpus, id_column="line", group_column="movie", group_files=["movies.csv"])
    assert parts.key("train") == {**key, "corpus": {**key["corpus"], "id_column": "line"}}


# With a checkpoint


def test_another_training_file_has_no_training_rows_of_the_checkpoint(trained: Parts, tmp_path: Path) -> None:
    assert len(trained.training_rows()) == 36
    (tmp_path / "train.csv").rename(tmp_path / "copy.csv")
    trained.corpus = replace(trained.corpus, train=Source("copy.csv"))
    assert len(trained.training_rows()) == 36
    trained.corpus = replace(trained.corpus, dev=Source("dev.csv"))
    write(tmp_path / "dev.csv", "다른")
    with pytest.raises(UserError, match=r"dev\.csv: not the file that the checkpoint was trained on"):
        trained.training_rows()


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
        group_column="movie_id",
        group_files=["movies.csv"],
        licence="CC0",
        korean_unit="글",
    )
    for part in ("train", "dev", "test"):
        trained.refuse_other_rows(part)


def test_dev_and_test_files_need_not_be_those_of_the_checkpoint(trained: Parts) -> None:
    trained.corpus = replace(trained.corpus, dev=Source("d.csv"), test=Source("t.csv"), text_column="title")
    trained.refuse_other_rows("dev")
    trained.refuse_other_rows("test")
