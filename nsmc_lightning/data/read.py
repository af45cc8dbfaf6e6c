"""Files to rows: TSV, CSV, JSON lines, Parquet, folders of texts. Every error names the file and the line."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow

from nsmc_lightning.data.corpus import Corpus, Format
from nsmc_lightning.types import UserError

_TEXT_COLUMNS = ("text", "document", "sentence", "review", "comments")  # looked for where the named column is absent
_FORMATS: dict[str, Format] = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}
_LONGEST_FIELD = 100_000_000  # characters; the csv module's own limit of 131,072 is below what a text may have

Record = tuple[int, dict[str | int, Any]]  # line number, column → value


def read_labelled(path: Path, corpus: Corpus) -> pd.DataFrame:
    """Reads a labelled part.

    Returns:
        Columns ``id`` (str; the row's number where the corpus names no id column), ``text`` and ``label`` (str or
        None), ``line`` (int, where the row begins; the row's number for Parquet).

    Raises:
        UserError: the file is missing, empty, not UTF-8 or broken, or lacks a column.
    """
    if corpus.format == "folders":
        return _read_folders(path, [label.value for label in corpus.labels])
    rows = list(_records(path, corpus.format, corpus.header))
    if not rows:
        raise UserError(f"{path}: holds no rows.")
    columns = [corpus.text_column, corpus.label_column, *([] if corpus.id_column is None else [corpus.id_column])]
    _check_columns(path, rows[0][1], columns)
    return pd.DataFrame(
        {
            "id": _ids(rows, corpus.id_column),
            "text": [_string(record.get(corpus.text_column)) for _, record in rows],
            "label": [_string(record.get(corpus.label_column)) for _, record in rows],
            "line": [line for line, _ in rows],
        },
    ).astype({"id": object, "text": object, "label": object})


def read_texts(path: str, text_column: int | str, id_column: int | str | None) -> pd.DataFrame:
    """Reads texts to predict; every row of the input is a row of the result, also one without text.

    Args:
        path: txt (a text a line), tsv, csv, jsonl or parquet by its ending; ``-`` is standard input, a text a line.
        text_column: name of the text column; where it is absent: text, document, sentence, review or comments.
        id_column: name of the id column; rows are numbered from 0 where it is absent.

    Returns:
        Columns ``id`` (str), ``text`` (str or None), ``line`` (int).

    Raises:
        UserError: as :func:`read_labelled`, or no column looks like the text.
    """
    suffix = Path(path).suffix.lower()
    if path == "-" or suffix not in _FORMATS:
        if path != "-" and suffix not in (".txt", ""):
            raise UserError(f"{path}: the ending decides the format; give txt, {', '.join(s[1:] for s in _FORMATS)}.")
        texts = _plain_lines(path)
        return pd.DataFrame(
            {"id": [str(i) for i in range(len(texts))], "text": texts, "line": range(1, len(texts) + 1)}
        )
    rows = list(_records(Path(path), _FORMATS[suffix], header=True))
    if not rows:
        return pd.DataFrame({"id": [], "text": [], "line": []})
    present = rows[0][1]
    column = next((name for name in (text_column, *_TEXT_COLUMNS) if name in present), None)
    if column is None:
        raise UserError(
            f"{path}: no column {text_column!r}; there are {', '.join(map(str, present))}. "
            "Name it with --data.corpus.text_column."
        )
    return pd.DataFrame(
        {
            "id": _ids(rows, id_column if id_column in present else None),
            "text": [_string(record.get(column)) for _, record in rows],
            "line": [line for line, _ in rows],
        }
    )


# One reader a format: each yields line numbers and records


def _records(path: Path, kind: Format, header: bool) -> Iterator[Record]:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    if kind == "parquet":
        return _parquet(path)
    if kind == "jsonl":
        return _json_lines(path)
    return _table(path, "\t" if kind == "tsv" else ",", header)


def _table(path: Path, delimiter: str, header: bool) -> Iterator[Record]:
    csv.field_size_limit(_LONGEST_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(_decoded(path, file), delimiter=delimiter, strict=True)
        names: list[Any] | None = None
        line = 1
        try:
            for fields in reader:
                if not fields:  # an empty line
                    line = reader.line_num + 1
                    continue
                if names is None:
                    names = fields if header else list(range(len(fields)))
                    if header:
                        line = reader.line_num + 1
                        continue
                if len(fields) != len(names):
                    raise UserError(f"{path}, line {line}: {len(fields)} columns where {len(names)} are expected.")
                yield line, dict(zip(names, fields, strict=True))
                line = reader.line_num + 1
        except csv.Error as error:
            raise UserError(
                f"{path}, line {line}: cannot be read as a table ({error}); a quote may be open."
            ) from error


def _json_lines(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(_decoded(path, file), start=1):
            if not text.strip():
                continue
            try:
                record = json.loads(text)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}, line {line}: not JSON ({error.msg}).") from error
            if not isinstance(record, dict):
                raise UserError(f"{path}, line {line}: not a JSON object but {type(record).__name__}.")
            yield line, record


def _parquet(path: Path) -> Iterator[Record]:
    try:
        table = pd.read_parquet(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]}).") from error
    for row, record in enumerate(table.astype(object).where(table.notna(), None).to_dict("records"), start=1):
        yield row, {str(name): value for name, value in record.items()}


def _read_folders(path: Path, labels: list[str]) -> pd.DataFrame:
    rows = []
    for label in labels:
        folder = path / label
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder; each label's texts stand in a folder of its name.")
        # Names are numbers first (12_7.txt): in their order, whatever the file system says.
        files = sorted(folder.glob("*.txt"), key=lambda file: (len(file.stem.split("_")[0]), file.stem))
        rows += [(f"{label}/{file.stem}", "\n".join(_plain_lines(str(file))), label, 1) for file in files]
    if not rows:
        raise UserError(f"{path}: holds no texts (*.txt) below {', '.join(labels)}.")
    return pd.DataFrame(rows, columns=["id", "text", "label", "line"])


def _plain_lines(path: str) -> list[str]:
    """The lines of a text file, without their ends; ``-`` is standard input."""
    if path == "-":
        sys.stdin.reconfigure(encoding="utf-8-sig")  # type: ignore[union-attr]
        lines = list(_decoded(Path("standard input"), sys.stdin))
    else:
        if not Path(path).is_file():
            raise UserError(f"{path}: there is no such file.")
        with open(path, encoding="utf-8-sig") as file:
            lines = list(_decoded(Path(path), file))
    return [line.rstrip("\r\n") for line in lines]


# Small parts of the above


def _decoded(path: Path, file: IO[str]) -> Iterable[str]:
    """The lines of a file; text that is not UTF-8 is refused by its line, with the way to convert it."""
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise UserError(_encoding_message(path)) from error


def _encoding_message(path: Path) -> str:
    if not path.is_file():
        return f"{path}: not UTF-8."
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    try:
        content.decode("cp949")
    except UnicodeDecodeError:
        return f"{path}, line {line}: not UTF-8."
    return f"{path}, line {line}: not UTF-8 but CP949; convert it: iconv -f cp949 -t utf-8 {path} > converted"


def _check_columns(path: Path, record: dict[str | int, Any], columns: list[int | str]) -> None:
    for column in columns:
        if column not in record:
            there = ", ".join(map(str, record))
            raise UserError(f"{path}: no column {column!r}; there are {there}. Mend the corpus's column names.")


def _ids(rows: list[Record], column: int | str | None) -> list[str]:
    if column is None:
        return [str(i) for i in range(len(rows))]
    return [_string(record.get(column)) or "" for _, record in rows]


def _string(value: object) -> str | None:
    """A cell as text: numbers as they are written (1, not 1.0), nothing as None."""
    if value is None or value == "" or value != value:  # NaN is the one value that differs from itself
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)
