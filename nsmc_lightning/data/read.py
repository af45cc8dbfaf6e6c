"""Files to rows: TSV, CSV, JSON lines, Parquet, folders of texts. Every error names the file and the line."""

import codecs
import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from nsmc_lightning.data.corpus import Corpus, Format
from nsmc_lightning.types import UserError

_TEXT_COLUMNS = ("text", "document", "sentence", "review", "comments")  # looked for where the named column is absent
_FORMATS: dict[str, Format] = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}
_LONGEST_FIELD = 100_000_000  # characters; the csv module's own limit of 131,072 is below what a text may have

Record = tuple[int, dict[str | int, Any]]  # line (row in Parquet), column → value


def read_labelled(path: Path, corpus: Corpus) -> pd.DataFrame:
    """Reads a labelled part.

    Returns:
        Columns ``id`` (str; the row's number from 0 where the corpus names no id column, label/file in folders),
        ``text`` and ``label`` (str or None), ``line`` (int, where the row begins; the row's number from 1 in Parquet;
        1 in folders). Texts are as the file holds them: one layer of CSV quoting is undone, and "NA" is a text.

    Raises:
        UserError: the file is missing, empty, not UTF-8 or broken, or lacks a column.
    """
    if corpus.format == "folders":
        return _read_folders(path, [label.value for label in corpus.labels])
    rows = list(_records(path, corpus.format, corpus.header))
    if not rows:
        raise UserError(f"{path}: holds no rows.")
    labels = [_string(value) for value in _column(path, rows, corpus.label_column, "label_column")]
    return _frame(
        _ids(path, rows, corpus.id_column), _texts(path, rows, corpus.text_column), [line for line, _ in rows], labels
    )


def read_texts(path: str, text_column: int | str, id_column: int | str | None) -> pd.DataFrame:
    """Reads texts to predict; every row of the input is a row of the result, also one without text.

    Args:
        path: txt (a text a line), tsv, csv, jsonl or parquet by its ending; ``-`` is standard input, a text a line.
        text_column: name of the text column; where it is absent: text, document, sentence, review or comments. A number
            is the column of a tsv or csv whose first line names none of these, and is then a row like the others.
        id_column: name or number of the id column; rows are numbered from 0 where it is absent.

    Returns:
        Columns ``id`` (str), ``text`` (str or None), ``line`` (int), as :func:`read_labelled`.

    Raises:
        UserError: as :func:`read_labelled`, or no column looks like the text.
    """
    suffix = Path(path).suffix.lower()
    if path == "-" or suffix in (".txt", ""):
        return _read_lines(path)
    if suffix not in _FORMATS:
        raise UserError(f"{path}: the ending decides the format; give txt, {', '.join(s[1:] for s in _FORMATS)}.")
    file, kind = Path(path), _FORMATS[suffix]
    names = (text_column, *_TEXT_COLUMNS)
    header = not isinstance(text_column, int) or _first_line_names(file, kind, _TEXT_COLUMNS)
    rows = list(_records(file, kind, header))
    if not rows:
        raise UserError(f"{path}: holds no rows.")
    present = rows[0][1]
    column = next((name for name in names if name in present), text_column)
    return _frame(
        _ids(file, rows, id_column if id_column in present else None),
        _texts(file, rows, column),
        [line for line, _ in rows],
    )


# A reader for each format


def _records(path: Path, kind: Format, header: bool) -> Iterator[Record]:
    if kind == "parquet":
        return _parquet(path)
    if kind == "jsonl":
        return _json_lines(path)
    return _table(path, kind, header)


def _table(path: Path, kind: Format, header: bool) -> Iterator[Record]:
    """Rows of a TSV or CSV. Empty lines are none, except in a table of one column, where they are empty texts."""
    names: list[Any] | None = None
    for line, fields in _lines_of_table(path, kind):
        if not fields and (names is None or len(names) > 1):
            continue
        if names is None:
            names = fields if header else list(range(len(fields)))
            _refuse_repeated(path, names)
            if header:
                continue
        fields = fields or [""]
        if len(fields) != len(names):
            raise UserError(
                f"{path}, line {line}: {len(fields)} columns where {len(names)} are expected; "
                "a text that holds the separator must stand in quotes."
            )
        yield line, dict(zip(names, fields, strict=True))


def _lines_of_table(path: Path, kind: Format) -> Iterator[tuple[int, list[str]]]:
    """Each row's first line and its fields, unquoted as pandas does; what pandas would silently misread is refused."""
    csv.field_size_limit(_LONGEST_FIELD)
    content = io.StringIO(_decoded(_content(path), str(path)), newline="")
    reader = csv.reader(content, delimiter="\t" if kind == "tsv" else ",", strict=True)
    line = 1
    try:
        for fields in reader:
            yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}, line {line}: a quote of the row that begins here is open or misplaced ({error}); "
            'a text that begins with a quote must stand in quotes, with its own doubled: """Good"" they say".'
        ) from error


def _first_line_names(path: Path, kind: Format, names: tuple[str, ...]) -> bool:
    """Whether the first line of a table is a header with one of the names; other formats always name their columns."""
    if kind not in ("tsv", "csv"):
        return True
    _, fields = next(_lines_of_table(path, kind), (1, []))
    return any(name in fields for name in names)


def _json_lines(path: Path) -> Iterator[Record]:
    # Not splitlines: it would also break at characters that JSON strings may hold, such as U+2028.
    for line, text in enumerate(_decoded(_content(path), str(path)).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {line}: not JSON ({error.msg}); each line must be one object.") from error
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {line}: not a JSON object but {type(record).__name__}.")
        yield line, record


def _parquet(path: Path) -> Iterator[Record]:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    try:
        # Not pandas: it would turn integers with a gap among them into floats.
        records = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]}).") from error
    yield from enumerate(records, start=1)


def _read_folders(path: Path, labels: list[str]) -> pd.DataFrame:
    """Texts as the files hold them, markup included."""
    ids, texts, read_labels = [], [], []
    for label in labels:
        folder = path / label
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder; each label's texts stand in a folder of its name.")
        for file in sorted(folder.glob("*.txt"), key=_natural):
            ids.append(f"{label}/{file.stem}")
            texts.append(_string(_decoded(file.read_bytes(), str(file))))
            read_labels.append(label)
    if not ids:
        raise UserError(f"{path}: holds no texts (*.txt) below {', '.join(labels)}.")
    return _frame(ids, texts, [1] * len(ids), read_labels)


def _read_lines(path: str) -> pd.DataFrame:
    content = sys.stdin.buffer.read() if path == "-" else _content(Path(path))
    name = "standard input" if path == "-" else path
    lines = _decoded(content, name).split("\n")
    if lines[-1] == "":
        lines.pop()  # the last line's end begins no other line
    if not lines:
        raise UserError(f"{name}: holds no texts.")
    texts = [_string(line.removesuffix("\r")) for line in lines]
    return _frame([str(i) for i in range(len(texts))], texts, list(range(1, len(texts) + 1)))


# Columns of the result


def _frame(
    ids: list[str], texts: list[str | None], lines: list[int], labels: list[str | None] | list[str] | None = None
) -> pd.DataFrame:
    columns: dict[str, pd.Series] = {"id": pd.Series(ids, dtype=object), "text": pd.Series(texts, dtype=object)}
    if labels is not None:
        columns["label"] = pd.Series(labels, dtype=object)
    return pd.DataFrame({**columns, "line": pd.Series(lines, dtype="int64")})


def _column(path: Path, rows: list[Record], column: int | str, setting: str) -> list[Any]:
    for line, record in rows:
        if column not in record:
            raise UserError(
                f"{_place(path, line)}: no column {column!r}; there are {', '.join(map(str, record))}. "
                f"Name it with --data.corpus.{setting}."
            )
    return [record[column] for _, record in rows]


def _texts(path: Path, rows: list[Record], column: int | str) -> list[str | None]:
    values = _column(path, rows, column, "text_column")
    for (line, _), value in zip(rows, values, strict=True):
        if not isinstance(value, str | None):
            raise UserError(f"{_place(path, line)}: the {column} is not a text but {type(value).__name__}.")
    return [value or None for value in values]


def _ids(path: Path, rows: list[Record], column: int | str | None) -> list[str]:
    if column is None:
        return [str(i) for i in range(len(rows))]
    return [_string(value) or "" for value in _column(path, rows, column, "id_column")]


def _string(value: object) -> str | None:
    """A cell as text: numbers as they are written (1, not 1.0), nothing as None."""
    if value is None or value == "" or value != value:  # NaN is the one value that differs from itself
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


# Small parts of the above


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    return path.read_bytes()


def _decoded(content: bytes, name: str) -> str:
    """UTF-8 as text, without its mark; anything else is refused by its line, with the way to convert it."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    other = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "cp949"
    try:
        content.decode(other)
    except UnicodeDecodeError:
        raise UserError(f"{name}, line {line}: not UTF-8; save the file as UTF-8.") from None
    raise UserError(
        f"{name}, line {line}: not UTF-8; it reads as {other.upper()}. "
        f"Convert it: iconv -f {other} -t utf-8 FILE > CONVERTED"
    )


def _refuse_repeated(path: Path, names: list[Any]) -> None:
    for name in names:
        if name != "" and names.count(name) > 1:
            raise UserError(f"{path}: the header names the column {name!r} twice.")


def _natural(file: Path) -> tuple[list[str | int], str]:
    """Numbers in names by their value: 9_10 before 10_2, whatever the file system says."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.stem)], file.stem


def _place(path: Path, line: int) -> str:
    return f"{path}, {'row' if path.suffix == '.parquet' else 'line'} {line}"
