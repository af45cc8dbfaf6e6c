"""Parts and clusters of test rows: of a small corpus by hand, and of NSMC by its known counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nsmc_lightning.callbacks.breakdown import Breakdown
from nsmc_lightning.data.corpus import NSMC, Corpus, Label, Source
from nsmc_lightning.data.parts import Parts

OWN = Corpus(
    "own",
    Source("train.csv"),
    [Label("0", "negative"), Label("1", "positive")],
    test=Source("test.csv"),
    format="csv",
    id_column="id",
    group_column="movie",
)
TRAIN = [(1, "굿", 1, "a"), (2, "별로", 0, "b"), (3, "별로", 1, "b"), (4, "명작!", 1, "c")]
TEST = [(5, "굿", 1, "a"), (6, "명작", 1, "x"), (7, "최악", 0, None), (8, "별로", 0, "x"), (9, "굿!", 1, None)]


def parts_of(folder: Path, corpus: Corpus) -> Parts:
    return Parts(corpus, folder, folder / "cache", 0.1, 1, None, "utf-8", "error")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in (("train", TRAIN), ("test", TEST)):
        pd.DataFrame(rows, columns=["id", "text", "label", "movie"]).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def found(folder: Path, corpus: Corpus) -> Breakdown:
    parts = parts_of(folder, corpus)
    return Breakdown(parts, parts.rows("test"))


def test_leaks_groups_and_clusters(folder: Path) -> None:
    tested = found(folder, OWN)
    leaks = {name: mask.tolist() for name, mask in tested.parts["train"].items()}
    assert leaks["in train, verbatim"] == [True, False, False, True, False]  # cleaning dropped 별로, with two labels
    assert leaks["in train, normalised"] == [True, True, False, True, True]
    assert tested.parts["groups"]["movie not in train"].tolist() == [False, True, False, True, False]
    clusters = {name: numbers.tolist() for name, numbers in tested.clusterings.items()}
    assert clusters == {"equal texts": [0, 1, 2, 3, 0], "movie": [0, 1, 2, 1, 3]}
    assert tested.notes == []
    assert tested.parts["length"]["1–10 characters"].all()
    assert not any(mask.any() for mask in tested.parts["writing"].values())


def test_training_rows_without_a_group_are_counted(folder: Path) -> None:
    pd.DataFrame({"id": [1, 5], "movie": ["a", "b"]}).to_csv(folder / "movies.csv", index=False)
    tested = found(folder, replace(OWN, group_files=["movies.csv"]))
    assert tested.notes == ["3 of 4 training rows have no movie: more groups may be in train."]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"train": Source("gone.csv")}, "Left out: which test texts are in train: {folder}/gone.csv: there is no"),
        ({"group_files": ["gone.csv"]}, "Left out: groups by movie: {folder}/gone.csv: there is no such file."),
        ({"group_column": "film"}, "Left out: groups by film: {folder}/test.csv: no column 'film'"),
    ],
)
def test_what_cannot_be_read_is_left_out_with_a_line(change: dict[str, object], note: str, folder: Path) -> None:
    tested = found(folder, replace(OWN, **change))  # type: ignore[arg-type]
    (line,) = tested.notes
    assert line.startswith(note.format(folder=folder))
    assert set(tested.clusterings) == ({"equal texts", "movie"} if "train" in change else {"equal texts"})
    assert not (tested.parts["train"] if "train" in change else tested.parts["groups"])


def test_groups_of_none_of_the_rows_are_left_out(folder: Path) -> None:
    pd.DataFrame({"id": [1], "movie": ["a"]}).to_csv(folder / "movies.csv", index=False)
    assert found(folder, replace(OWN, group_files=["movies.csv"])).notes == [
        "Left out: groups by movie: no test row has one."
    ]


def test_a_corpus_without_groups_has_no_line_on_them(folder: Path) -> None:
    tested = found(folder, replace(OWN, group_column=None))
    assert (tested.notes, tested.parts["groups"]) == ([], {})


def test_nsmc(shared: Path) -> None:
    tested = found(shared / "nsmc", NSMC)
    leaks = {name: int(mask.sum()) for name, mask in tested.parts["train"].items()}
    assert leaks["in train, verbatim"] == 1568
    assert leaks["not in train, verbatim"] == 49_997 - 1568
    assert 0.05 < leaks["in train, normalised"] / 49_997 < 0.055
    assert tested.parts["groups"]["movie_id not in train"].sum() == 623
    assert {name: len(np.unique(numbers)) for name, numbers in tested.clusterings.items()} == {
        "equal texts": 48_551,
        "movie_id": 10_275,
    }
    assert tested.notes == []
