"""The texts of files of each format, cleaned; and the rows that are refused."""

import json
from pathlib import Path

import pandas as pd
import pytest

from nsmc_lightning.data.corpus import NSMC
from nsmc_lightning.data.texts import stream_texts
from nsmc_lightning.errors import UserError

RAW = ["  재미 있다 ", "", '굿, "최고"', "가", None, "NA"]
CLEAN = ["재미 있다", '굿, "최고"', "가", "NA"]


def write(path: Path) -> Path:
    table = pd.DataFrame({"other": range(len(RAW)), "body": RAW})
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text(
            "\n".join(json.dumps({"other": i, "body": text}) for i, text in enumerate(RAW)), encoding="utf-8"
        )
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv", "tsv"])
def test_texts_of_a_table(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"more.{ending}")
    assert list(stream_texts(path, "body", NSMC)) == CLEAN
    with pytest.raises(UserError, match=r"no column 'text'; there are other, body\. .*--text_column"):
        list(stream_texts(path, "text", NSMC))


def test_texts_of_a_txt(tmp_path: Path) -> None:
    lines, table = tmp_path / "lines.txt", tmp_path / "table.txt"
    lines.write_text(" 재미 있다\n\n굿\n", encoding="utf-8")
    table.write_text("id\tdocument\tlabel\n1\t재미 있다\t1\n", encoding="utf-8")  # as NSMC's own files
    assert list(stream_texts(lines, "text", NSMC)) == ["재미 있다", "굿"]
    assert list(stream_texts(table, "text", NSMC)) == ["재미 있다"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\n좋다\n", r"a\.csv, line 2: 1 columns"),
        ("a.jsonl", '{"text": 1}', r"a\.jsonl, line 1: the text is not a text but int"),
        ("a.jsonl", '{"text": "' + "x" * 1_000_001 + '"}', r"line 1: a text of 1,000,001 characters"),
        ("a.txt", "좋다\t1\n", r"a\.txt, line 1: contains a tab"),
        ("a.xlsx", "", r"a\.xlsx: the ending decides the format"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        list(stream_texts(tmp_path / name, "text", NSMC))
