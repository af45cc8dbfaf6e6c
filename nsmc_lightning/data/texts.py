"""The texts of further files, cleaned and one after another, for what needs no table of them in memory."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nsmc_lightning.data.clean import clean_text
from nsmc_lightning.data.corpus import LONGEST_TEXT, Corpus
from nsmc_lightning.data.formats import BY_ENDING, BadRow, Name, Table, open_table
from nsmc_lightning.data.read import read_texts
from nsmc_lightning.errors import UserError


def stream_texts(path: Path, text_column: str, corpus: Corpus) -> Iterator[str]:
    """Read the texts of a UTF-8 file as they are cleaned for training; rows without text are left out.

    Args:
        path: tsv, csv, jsonl or parquet by its ending; a txt is read as
            :func:`~nsmc_lightning.data.read.read_texts` does, a text a line or a table.
        text_column: name of the text column.
        corpus: its labels tell a txt that is a table.

    Raises:
        UserError: the file is missing or broken, lacks the column, or has a row that cannot be read.
    """
    kind = BY_ENDING.get(path.suffix.lower())
    if kind is None:
        rows = iter(read_texts(str(path), replace(corpus, text_column=text_column))["text"])
    else:
        rows = _column(path, open_table(path, kind, True, "utf-8", {text_column}), text_column)
    for text in rows:
        if text is not None and text.strip():
            yield clean_text(text)


def _column(path: Path, table: Table, name: str) -> Iterator[str | None]:
    if table.names is not None and name not in table.names:
        raise _no_column(str(path), name, table.names)
    for row in table.rows:
        place = f"{path}, {'row' if path.suffix.lower() == '.parquet' else 'line'} {row.line}"
        if isinstance(row, BadRow):
            raise UserError(f"{place}: {row.reason}")
        if name not in row.values:
            raise _no_column(place, name, list(row.values))
        text = row.values[name]
        if not isinstance(text, str | None):
            raise UserError(f"{place}: the {name} is not a text but {type(text).__name__}.")
        if text is not None and len(text) > LONGEST_TEXT:
            raise UserError(f"{place}: a text of {len(text):,} characters, more than {LONGEST_TEXT:,}.")
        yield text


def _no_column(place: str, name: str, names: list[Name]) -> UserError:
    shown = ", ".join(map(str, names))[:200]
    return UserError(f"{place}: no column {name!r}; there are {shown}. Name it with --text_column.")
