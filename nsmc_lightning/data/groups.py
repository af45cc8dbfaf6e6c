"""The group of each row, such as the movie of a review: rows of one group are alike."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from nsmc_lightning.data.corpus import Format
from nsmc_lightning.data.formats import BY_ENDING, BadRow, Name, open_table
from nsmc_lightning.data.parts import Parts
from nsmc_lightning.data.read import as_string
from nsmc_lightning.errors import UserError


class Groups:
    """The groups of a corpus's rows, from its ``group_files`` by id, or from its own files by line.

    Args:
        parts: the parts of a corpus with a ``group_column``.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._by_id: dict[str, str] | None = None

    def of(self, rows: pd.DataFrame) -> list[str | None]:
        """Return the group of each row, None where it has none.

        Args:
            rows: columns ``id``, ``line`` and ``part``: train, dev or test.

        Raises:
            UserError: a file is missing or broken, lacks a column, or gives an id two groups; or the corpus does not
            say where groups are.
        """
        if self.parts.corpus.group_files:
            self._by_id = self._by_id or self._read_group_files()
            return [self._by_id.get(number) for number in rows["id"]]
        by_line = {part: self._read_own_file(part) for part in rows["part"].unique()}
        return [by_line[part].get(line) for part, line in zip(rows["part"], rows["line"], strict=True)]

    def _read_group_files(self) -> dict[str, str]:
        corpus, found = self.parts.corpus, dict[str, str]()
        if self.parts.data_dir is None:
            raise UserError(f"there is no data.data_dir with {' and '.join(corpus.group_files)}.")
        if not isinstance(corpus.id_column, str):
            raise UserError("data.corpus.group_files need an id_column that has a name.")
        for path in (self.parts.data_dir / file for file in corpus.group_files):
            kind = BY_ENDING.get(path.suffix.lower())
            if kind is None:
                raise UserError(f"{path}: the ending decides the format; give {', '.join(BY_ENDING)}.")
            for line, number, group in self._rows(path, kind, True, corpus.id_column):
                if number is not None and group is not None and found.setdefault(number, group) != group:
                    raise UserError(f"{path}, line {line}: id {number} has the groups {found[number]} and {group}.")
        return found

    def _read_own_file(self, part: str) -> dict[int, str]:
        corpus = self.parts.corpus
        if corpus.format == "folders":
            raise UserError("texts in folders have no columns: give data.corpus.group_files.")
        rows = self._rows(self.parts.path(part), corpus.format, corpus.header, None)
        return {line: group for line, _, group in rows if group is not None}

    def _rows(
        self, path: Path, kind: Format, header: bool, id_column: Name | None
    ) -> Iterator[tuple[int, str | None, str | None]]:
        """Yield line, id (None without a column of ids) and group of each row of a file."""
        assert self.parts.corpus.group_column is not None
        columns = [self.parts.corpus.group_column, *([] if id_column is None else [id_column])]
        for row in open_table(path, kind, header, self.parts.corpus.encoding, columns).rows:
            if isinstance(row, BadRow):
                raise UserError(f"{path}, line {row.line}: {row.reason}")
            for column in columns:
                if column not in row.values:
                    raise UserError(f"{path}: no column {column!r}.")
            group, *number = (as_string(row.values[column]) for column in columns)
            yield row.line, number[0] if number else None, group
