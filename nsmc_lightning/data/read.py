"""Files to rows of id, text, label and line; errors name the file and the line."""

import logging
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from nsmc_lightning.data.corpus import LONGEST_TEXT, Corpus, Format, OnBadRows
from nsmc_lightning.data.formats import (
    BY_ENDING,
    TEXT_COLUMNS,
    BadRow,
    Name,
    Record,
    Table,
    content,
    decoded,
    open_table,
)
from nsmc_lightning.data.raw_corpus import RawCorpus
from nsmc_lightning.errors import UserError

_SHOWN = 3  # bad rows named in the warning
_NAMED = 10  # columns named in an error

_TAB = "contains a tab. If this is a table, give it the ending .tsv; if it is a text a line, replace tabs by spaces."

_log = logging.getLogger(__name__)


def read_labelled(path: Path, corpus: Corpus) -> pd.DataFrame:
    """Read a labelled part.

    Returns:
        Columns ``id`` (str; the row's number from 0 if the corpus names no id column; label/file in folders), ``text``
        and ``label`` (str or None), ``line`` (int, in which the row begins; the row's number from 1 in Parquet; 1 in
        folders). Texts are those of the file: one layer of CSV quoting is undone, and "NA" is a text.

    Raises:
        UserError: the file is missing, empty, broken or in another encoding than the corpus's, lacks a column, or
            contains a text longer than ``LONGEST_TEXT``.
    """
    if corpus.format == "folders":
        return _read_folders(path, [label.value for label in corpus.labels], corpus.encoding)
    settings = {"text": corpus.text_column, "label": corpus.label_column, "id": corpus.id_column}
    columns = {name: column for name, column in settings.items() if column is not None}
    table = open_table(path, corpus.format, corpus.header, corpus.encoding, set(columns.values()))
    return _rows(str(path), _unit(path), table, columns, "error")


def read_raw(path: Path, corpus: RawCorpus) -> pd.DataFrame:
    """Read raw texts: a table by the file's ending, or a text a line, in UTF-8.

    Returns:
        Columns ``id`` (str) and ``text`` (str or None), ``rating`` (str or None) if the corpus has ratings, ``line``
        (int), as :func:`read_labelled`.

    Raises:
        UserError: as :func:`read_labelled`, or a text a line contains a tab.
    """
    kind = BY_ENDING.get(path.suffix.lower())
    if kind is None:
        return _read_lines(str(path), decoded(content(path), str(path), "utf-8"), "error")
    settings = {"text": corpus.text_column, "id": corpus.id_column, "rating": corpus.rating_column}
    columns: dict[str, Name] = {name: column for name, column in settings.items() if column is not None}
    table = open_table(path, kind, True, "utf-8", set(columns.values()))
    return _rows(str(path), _unit(path), table, columns, "error")


def read_texts(path: str, corpus: Corpus, encoding: str = "utf-8", on_bad_rows: OnBadRows = "error") -> pd.DataFrame:
    """Read texts to predict; every row of the input is a row of the result, also rows without text.

    Args:
        path: txt (a text a line), tsv, csv, jsonl or parquet by its ending; ``-`` is standard input, a text a line. A
            txt is read as a table if its first line names a text column beside others, as in NSMC's own files, or is a
            labelled row of a corpus without header.
        corpus: names the text column; if there is none, text, document, sentence, review or comments. A number is a
            column of a tsv or csv whose first line names none of these and is then a row like the others. Also names
            the id column; if there is none, rows are numbered from 0.
        encoding: of the file; parquet has its own.
        on_bad_rows: what to do with rows that cannot be read, or whose text is longer than ``LONGEST_TEXT``: error, or
            skip, which warns and leaves their text, and the id if there is an id column, empty.

    Returns:
        Columns ``id`` (str), ``text`` (str or None), ``line`` (int), as :func:`read_labelled`.

    Raises:
        UserError: as :func:`read_labelled`, there is no text column, or a text a line contains a tab: labels of a table
            would become part of the texts.
    """
    if path == "-":
        return _read_lines("standard input", decoded(sys.stdin.buffer.read(), "standard input", encoding), on_bad_rows)
    suffix = Path(path).suffix.lower()
    if suffix not in (".txt", ""):
        kind = BY_ENDING.get(suffix)
        if kind is None:
            raise UserError(f"{path}: the ending decides the format; give txt, {', '.join(s[1:] for s in BY_ENDING)}.")
    else:
        text = decoded(content(Path(path)), path, encoding)
        kind = _table_format(text.split("\n", 1)[0], corpus)
        if kind is None:
            return _read_lines(path, text, on_bad_rows)
        _log.info(f"{path}: its first line is that of a table; read as {kind}.")
    return _read_table(path, kind, corpus, encoding, on_bad_rows)


def _read_table(path: str, kind: Format, corpus: Corpus, encoding: str, on_bad_rows: OnBadRows) -> pd.DataFrame:
    candidates = (corpus.text_column, *TEXT_COLUMNS)
    header = None if isinstance(corpus.text_column, int) else True
    wanted = {*candidates, *([] if corpus.id_column is None else [corpus.id_column])}
    table = _with_names(open_table(Path(path), kind, header, encoding, wanted))
    names = table.names or []
    columns = {"text": next((name for name in candidates if name in names), corpus.text_column)}
    if corpus.id_column is not None and corpus.id_column in names:
        columns["id"] = corpus.id_column
    return _rows(path, _unit(Path(path)), table, columns, on_bad_rows)


def _table_format(line: str, corpus: Corpus) -> Format | None:
    """The format of a txt whose first line names a text column beside others, or is a labelled row of the corpus."""
    labels = {label.value for label in corpus.labels}
    separators: dict[Format, str] = {"tsv": "\t", **({"csv": ","} if corpus.format == "csv" else {})}
    for kind, separator in separators.items():
        fields: dict[Name | None, str] = dict(enumerate(line.removesuffix("\r").split(separator)))
        is_header = not {corpus.text_column, *TEXT_COLUMNS}.isdisjoint(fields.values())
        is_row = corpus.text_column in fields and fields.get(corpus.label_column) in labels
        if len(fields) > 1 and (is_header or is_row):
            return kind
    return None


def _read_lines(name: str, text: str, on_bad_rows: OnBadRows) -> pd.DataFrame:
    """One text per line."""
    return _rows(name, "line", Table(["text"], _lines(text)), {"text": "text"}, on_bad_rows)


def _with_names(table: Table) -> Table:
    """The table with the names of its first record, if each record has its own."""
    if table.names is not None:
        return table
    before: list[Record | BadRow] = []
    for row in table.rows:
        before.append(row)
        if isinstance(row, Record):
            return Table(list(row.values), chain(before, table.rows))
    return Table(None, iter(before))


def _lines(text: str) -> Iterator[Record | BadRow]:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()  # a line end at the end of the file
    for line, one in enumerate(lines, start=1):
        if "\t" in one:
            yield BadRow(line, _TAB)
        else:
            yield Record(line, {"text": one.removesuffix("\r")})


def _read_folders(path: Path, labels: list[str], encoding: str) -> pd.DataFrame:
    rows: list[Record | BadRow] = []
    for label in labels:
        folder = path / label
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder; each label's texts must be in a folder of its name.")
        for file in sorted(folder.glob("*.txt"), key=_natural):
            text = decoded(content(file), str(file), encoding)
            if reason := _fault_of_text(text, "text"):
                raise UserError(f"{file}: {reason}")
            rows.append(Record(1, {"id": f"{label}/{file.stem}", "text": text, "label": label}))
    if not rows:
        raise UserError(f"{path}: there are no texts (*.txt) in {', '.join(labels)}.")
    columns: dict[str, Name] = {name: name for name in ("text", "label", "id")}
    return _rows(str(path), "line", Table(None, iter(rows)), columns, "error")


# Records to columns


def _rows(name: str, unit: str, table: Table, columns: dict[str, Name], on_bad_rows: OnBadRows) -> pd.DataFrame:
    """The frame of a file's rows; ``columns`` has the column of the text, and of id and label if there are any."""
    if table.names:
        for ours, column in columns.items():
            if column not in table.names:
                raise UserError(f"{name}: {_no_column(ours, column, table.names)}")
    result: dict[str, list[Any]] = {"id": [], **{ours: [] for ours in columns}, "line": []}
    bad: list[BadRow] = []
    for number, row in enumerate(table.rows):
        values = row if isinstance(row, BadRow) else _values(row, columns)
        if isinstance(values, BadRow):
            if on_bad_rows == "error":
                raise UserError(f"{name}, {unit} {values.line}: {values.reason}")
            bad.append(values)
            values = dict.fromkeys(columns)
        values["id"] = (values["id"] or "") if "id" in columns else str(number)
        result["line"].append(row.line)
        for ours, value in values.items():
            result[ours].append(value)
    if not result["line"]:
        raise UserError(f"{name}: there are no rows.")
    _warn_of(bad, name, unit)
    frame: dict[str, pd.Series] = {
        ours: pd.Series(result[ours], dtype=object) for ours in ("id", "text", "label", "rating") if ours in result
    }
    frame["line"] = pd.Series(result["line"], dtype="int64")
    return pd.DataFrame(frame)


def _values(record: Record, columns: dict[str, Name]) -> dict[str, Any] | BadRow:
    values: dict[str, Any] = {}
    for ours, column in columns.items():
        if column not in record.values:
            return BadRow(record.line, _no_column(ours, column, list(record.values)))
        values[ours] = record.values[column]
    if reason := _fault_of_text(values["text"], columns["text"]):
        return BadRow(record.line, reason)
    return {ours: (value or None) if ours == "text" else as_string(value) for ours, value in values.items()}


def _fault_of_text(value: object, column: Name) -> str | None:
    if not isinstance(value, str | None):
        return f"the {column} is not a text but {type(value).__name__}."
    if value is not None and len(value) > LONGEST_TEXT:
        return f"a text of {len(value):,} characters, more than {LONGEST_TEXT:,}: is a line end or a quote missing?"
    return None


def _no_column(ours: str, column: Name, names: Sequence[Name]) -> str:
    shown = [*map(str, names[:_NAMED]), *(["…"] if len(names) > _NAMED else [])]
    return f"no column {column!r}; there are {', '.join(shown)[:200]}. Name it with --data.corpus.{ours}_column."


def _warn_of(bad: list[BadRow], name: str, unit: str) -> None:
    if not bad:
        return
    shown = "; ".join(f"{unit} {row.line}: {row.reason.rstrip('.')}" for row in bad[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else ""
    _log.warning(f"{name}: {len(bad):,} bad rows get no label ({shown}{more}).")


def as_string(value: object) -> str | None:
    """A cell as text: whole numbers without a fraction (1, not 1.0), missing values as None."""
    if value is None or value == "" or value != value:  # NaN differs from itself
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _natural(file: Path) -> tuple[list[str | int], str]:
    """Sort key of names by the numbers in them: 9_10 before 10_2."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.stem)], file.stem


def _unit(path: Path) -> str:
    return "row" if path.suffix.lower() == ".parquet" else "line"
