"""Raw texts as data: their file, where it comes from, and its columns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RawCorpus:
    """Texts without labels.

    Args:
        file: tsv, csv, jsonl or parquet by its ending, otherwise a text a line; below ``data_dir`` or the cache.
        name: short name, also the name of its folder in the cache.
        text_column: name of the text column.
        id_column: name of the id column; None where texts have no ids.
        rating_column: name of a column of numbers, the higher the better; None where there is none.
        licence: licence or citation of the texts.
    """

    file: str
    name: str = "texts"
    text_column: str = "text"
    id_column: str | None = None
    rating_column: str | None = None
    licence: str = ""
