"""TSV, CSV, JSON lines and Parquet to records, row by row; an unreadable row gives its line and the reason."""

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet

from nsmc_lightning.data.corpus import Format
from nsmc_lightning.errors import UserError, reason

TEXT_COLUMNS = ("text", "document", "sentence", "review", "comments")
"""Usual names of a text column."""

BY_ENDING: dict[str, Format] = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}
"""Formats by the ending of a file's name."""

Name = int | str


class Record(NamedTuple):
    """A row: the ``line`` in which it begins (in Parquet its number), from 1; ``values`` by column."""

    line: int
    values: dict[Name, Any]


class BadRow(NamedTuple):
    """A row that cannot be read: the ``line`` in which it begins, and the ``reason``."""

    line: int
    reason: str


class Table(NamedTuple):
    """A file's rows, and the ``names`` of its columns; None if each row has its own (JSON lines)."""

    names: list[Name] | None
    rows: Iterator[Record | BadRow]


def open_table(path: Path, kind: Format, header: bool | None, encoding: str, wanted: Collection[Name]) -> Table:
    """Open a file of rows.

    Args:
        path: the file.
        kind: tsv, csv, jsonl or parquet.
        header: whether the first line of a tsv or csv names its columns, otherwise numbered from 0; None: it does if it
            contains one of ``TEXT_COLUMNS``.
        encoding: of tsv, csv and jsonl.
        wanted: the columns to read of a parquet file, which may have large others.

    Raises:
        UserError: the file is missing, in another encoding, not Parquet, or repeats a column; while the rows are read,
            a quote is open to the end of the file, so that the end of its row is unknown.
    """
    if kind == "parquet":
        return _parquet(path, wanted)
    if kind == "jsonl":
        return Table(None, _json_lines(decoded(content(path), str(path), encoding)))
    return _table(path, kind, header, encoding)


def _table(path: Path, kind: Format, header: bool | None, encoding: str) -> Table:
    """A TSV or CSV; its first row decides the number of columns."""
    rows = _fields(path, decoded(content(path), str(path), encoding), "\t" if kind == "tsv" else ",")
    first = next((row for row in rows if isinstance(row, BadRow) or row[1]), None)  # empty lines before it do not count
    if first is None:
        return Table([], iter(()))
    if isinstance(first, BadRow):
        raise UserError(f"{path}, line {first.line}: {first.reason}")
    if header is None:
        header = any(name in TEXT_COLUMNS for name in first[1])
    names: list[Name] = [*first[1]] if header else [*range(len(first[1]))]
    repeated = [name for name, times in Counter(names).items() if times > 1 and name != ""]
    if repeated:
        raise UserError(f"{path}: the header names the column {repeated[0]!r} twice.")
    return Table(names, _records(rows if header else chain([first], rows), names))


def _records(rows: Iterable[tuple[int, list[str]] | BadRow], names: list[Name]) -> Iterator[Record | BadRow]:
    """Skip empty lines, except in a table of one column, where they are empty texts."""
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        line, fields = row
        if not fields and len(names) > 1:
            continue
        fields = fields or [""]
        if len(fields) == len(names):
            yield Record(line, dict(zip(names, fields, strict=True)))
        else:
            reason = f"{len(fields)} columns where {len(names)} are expected; quote texts that contain the separator."
            yield BadRow(line, reason)


def _fields(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]] | BadRow]:
    """Each row's first line and its fields, unquoted as pandas does; rows that pandas would misread are bad."""
    csv.field_size_limit(2**31 - 1)  # the default of 131,072 characters is less than a text may have
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    while True:
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = (
                f"a quote in the row that begins here is open or misplaced ({error}); put a text that begins with a "
                'quote in quotes, with its own doubled: """Good"" they say".'
            )
            if "end of data" in str(error):
                raise UserError(f"{path}, line {line}: {reason}") from error
            yield BadRow(line, reason)
        line = reader.line_num + 1


def _json_lines(text: str) -> Iterator[Record | BadRow]:
    # Not splitlines: it also breaks at characters that JSON strings may contain, such as U+2028.
    for line, one in enumerate(text.split("\n"), start=1):
        if not one.strip():
            continue
        try:
            record = json.loads(one)
        except json.JSONDecodeError as error:
            yield BadRow(line, f"not JSON ({error.msg}); each line must be one object.")
        else:
            if isinstance(record, dict):
                yield Record(line, record)
            else:
                yield BadRow(line, f"not a JSON object but {type(record).__name__}.")


def _parquet(path: Path, wanted: Collection[Name]) -> Table:
    _refuse_missing(path)
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except _PARQUET_ERRORS as error:
        raise _no_parquet(path, error) from error
    names: list[Name] = [*file.schema_arrow.names]
    return Table(names, _parquet_records(path, file, [name for name in names if name in wanted]))


def _parquet_records(path: Path, file: pyarrow.parquet.ParquetFile, columns: list[Name]) -> Iterator[Record]:
    row = 0
    try:
        for batch in file.iter_batches(columns=columns):
            # Not pandas: it turns integers into floats where one is missing.
            for values in batch.to_pylist():
                row += 1
                yield Record(row, values)
    except _PARQUET_ERRORS as error:
        raise _no_parquet(path, error) from error


_PARQUET_ERRORS = (pyarrow.ArrowException, OSError, ValueError)


def _no_parquet(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: cannot be read as Parquet ({reason(error)}).")


# Bytes to text


def content(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    _refuse_missing(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error


def _refuse_missing(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")


def decoded(data: bytes, name: str, encoding: str) -> str:
    """Decode text, without its byte order mark.

    Raises:
        UserError: the encoding is unknown, or not that of the bytes; names the line and the likely encoding.
    """
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except LookupError as error:
        raise UserError(
            f"encoding {encoding!r}: there is no such text encoding; examples are utf-8, cp949 and utf-16."
        ) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, errors="replace").count("\n") + 1
    likely = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "cp949"
    asked = encoding.upper().removesuffix("-SIG")
    try:
        data.decode(likely)
    except UnicodeDecodeError:
        raise UserError(f"{name}, line {line}: not {asked}; save the file as UTF-8.") from None
    raise UserError(
        f"{name}, line {line}: not {asked}; it reads as {likely.upper()}. Give --data.encoding {likely} for a file to "
        f"predict, `encoding: {likely}` for a corpus."
    )
