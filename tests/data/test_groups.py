"""Groups of rows: from tables of ids, or from a column of the corpus's own files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nsmc_lightning.data.corpus import Corpus, Label, Source
from nsmc_lightning.data.groups import Groups
from nsmc_lightning.data.parts import Parts
from nsmc_lightning.errors import UserError

OWN = Corpus(
    "own",
    Source("train.csv"),
    [Label("0", "negative"), Label("1", "positive")],
    test=Source("test.csv"),
    format="csv",
    id_column="id",
    group_column="movie",
)


def parts_of(folder: Path | None, corpus: Corpus) -> Parts:
    return Parts(corpus, folder, Path("unused"), 0.1, 1, None, "utf-8", "error")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files whose rows have the same ids, and blank lines and line breaks between rows."""
    text = 'id,text,label,movie\n1,굿,1,7\n\n2,"별\n로",0,\n3,,0,8\n4,음,0,9\n'
    (tmp_path / "train.csv").write_text(text, encoding="utf-8")
    (tmp_path / "test.csv").write_text(text.replace(",7", ",17").replace(",9", ",19"), encoding="utf-8")
    return tmp_path


def test_a_column_of_the_own_files_is_read_by_line(folder: Path) -> None:
    for corpus in (OWN, replace(OWN, id_column=None)):
        parts = parts_of(folder, corpus)
        assert Groups(parts).of(parts.rows("test").assign(part="test")) == ["17", None, "19"]
        assert Groups(parts).of(parts.training_rows()) == ["7", None, "9"]


def test_a_column_has_a_number_where_there_is_no_header(folder: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (folder / name).write_text((folder / name).read_text(encoding="utf-8").split("\n", 1)[1], encoding="utf-8")
    parts = parts_of(folder, replace(OWN, header=False, id_column=0, text_column=1, label_column=2, group_column=3))
    assert Groups(parts).of(parts.rows("test").assign(part="test")) == ["17", None, "19"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_are_read_by_id(ending: str, folder: Path) -> None:
    for name, ids in (("one", [1, 2]), ("two", [4, 5])):
        table, path = pd.DataFrame({"movie": [10 + i for i in ids], "id": ids}), folder / f"{name}.{ending}"
        if ending == "parquet":
            table.to_parquet(path)
        elif ending == "jsonl":
            table.to_json(path, orient="records", lines=True)
        else:
            table.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    parts = parts_of(folder, replace(OWN, group_files=[f"one.{ending}", f"two.{ending}"]))
    assert Groups(parts).of(parts.rows("test")) == ["11", "12", "14"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"movies\.csv: there is no such file"),
        ("id,film\n1,2\n", r"movies\.csv: no column 'movie'"),
        ("id,movie\n1,2,3\n", r"movies\.csv, line 2: 3 columns"),
        ("id,movie\n1,2\n1,2\n1,3\n", r"movies\.csv, line 4: id 1 has the groups 2 and 3"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(content: str | None, message: str, folder: Path) -> None:
    if content is not None:
        (folder / "movies.csv").write_text(content, encoding="utf-8")
    parts = parts_of(folder, replace(OWN, group_files=["movies.csv"]))
    with pytest.raises(UserError, match=message):
        Groups(parts).of(parts.rows("test"))


@pytest.mark.parametrize(
    ("folder_given", "change", "message"),
    [
        (False, {"group_files": ["movies.csv"]}, r"no data\.data_dir with movies\.csv"),
        (True, {"group_files": ["movies.xlsx"]}, r"movies\.xlsx: the ending decides"),
        (True, {"group_files": ["movies.csv"], "id_column": None}, "group_files need an id_column"),
        (True, {"format": "folders"}, "folders have no columns"),
    ],
)
def test_settings_that_do_not_say_where_groups_are(
    folder_given: bool, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    rows = pd.DataFrame({"id": ["1"], "line": [1], "part": ["test"]})
    with pytest.raises(UserError, match=message):
        Groups(parts_of(tmp_path if folder_given else None, replace(OWN, **change))).of(rows)
