"""Data sets as data: files, addresses, checksums, columns, labels. A new one is a YAML file."""

from dataclasses import asdict, dataclass, field
from pathlib import PureWindowsPath
from typing import Any, Literal

from nsmc_lightning.errors import UserError

Format = Literal["tsv", "csv", "jsonl", "parquet", "folders"]
OnBadRows = Literal["error", "skip"]

LONGEST_TEXT = 1_000_000
"""Characters. A longer text comes from wrong line ends or quotes, and would take minutes to tokenise."""

GROUP_KEYS = ("group_column", "group_files")
"""Keys of a corpus that only describe its rows: with others, the rows are the same."""


@dataclass(frozen=True)
class Source:
    """One published file.

    Args:
        file: path below the data directory (for ``format: folders``: the folder with one folder per label); with
            ``url`` also below the corpus's folder in the cache.
        url: address to download it from; None if it must already be there.
        sha256: checksum of the download, in hex; None accepts any.
        archive: name of the tar.gz that ``url`` serves and that contains ``file``; None if ``url`` serves ``file``.
    """

    file: str
    url: str | None = None
    sha256: str | None = None
    archive: str | None = None


@dataclass(frozen=True)
class Label:
    """One class.

    Args:
        value: its spelling in the files (for ``format: folders``: the folder's name).
        name: its name in reports.
        korean: its name in Korean output; empty is ``name``.
    """

    value: str
    name: str
    korean: str = ""


@dataclass(frozen=True)
class Corpus:
    """A corpus of single sentences with one label each.

    Args:
        name: short name, also the name of its folder in the cache.
        train: training part.
        labels: the classes, in the order of their ids.
        dev: validation part; None splits one off the training part.
        test: test part; None splits ``test_fraction`` off the training part, always the same rows.
        test_fraction: share of rows that become the test part if the corpus has none.
        format: layout of the files: tsv, csv, jsonl, parquet, or folders (a text file per review, a folder per label).
        text_column: name of the text column, or its number from 0 if ``header`` is false.
        label_column: name or number of the label column.
        id_column: name or number of the id column; None numbers the rows.
        group_column: name or number of a column whose equal values group rows that are alike, such as the movie of a
            review, for the intervals of a test; None for rows without groups.
        group_files: csv, tsv, jsonl or parquet files below the data directory with ``id_column`` and ``group_column``;
            empty if ``group_column`` is in the corpus's own files. What is missing is no error: tests leave groups out.
        encoding: encoding of the files, by Python's name; utf-8 may begin with a byte order mark.
        header: whether the first line of a tsv or csv names the columns.
        repair_quotes: undo a second layer of CSV quoting in the published files (NSMC).
        generate: generate the files instead of downloading them.
        licence: licence or citation of the texts, which checkpoints keep.
        korean_unit: the word for one text in Korean output.

    Raises:
        UserError: there are fewer than two different labels, or a file would be downloaded to outside of the cache.
    """

    name: str
    train: Source
    labels: list[Label]
    dev: Source | None = None
    test: Source | None = None
    test_fraction: float = 0.1
    format: Format = "tsv"
    encoding: str = "utf-8"
    text_column: int | str = "text"
    label_column: int | str = "label"
    id_column: int | str | None = None
    group_column: int | str | None = None
    group_files: list[str] = field(default_factory=list)
    header: bool = True
    repair_quotes: bool = False
    generate: Literal["demo"] | None = None
    licence: str = ""
    korean_unit: str = "문장"

    def __post_init__(self) -> None:
        for what in ("value", "name"):
            each = [getattr(label, what) for label in self.labels]
            if len(each) < 2 or len(set(each)) < len(each):
                raise UserError(f"corpus {self.name}: labels need two or more different {what}s, not {each}.")
        if not stays_below(self.name) or len(PureWindowsPath(self.name).parts) > 1:
            raise UserError(f"corpus.name {self.name!r}: give a plain folder name, for its folder in the cache.")
        for part, source in {"train": self.train, "dev": self.dev, "test": self.test}.items():
            if source is not None and source.url is not None:
                self._refuse_outside(f"{part}.file", source.file)
                self._refuse_outside(f"{part}.archive", source.archive)

    def _refuse_outside(self, key: str, path: str | None) -> None:
        if path is not None and not stays_below(path):
            raise UserError(
                f"corpus {self.name}: {key} {path!r} has a url and would be downloaded to outside of the cache; "
                "give a relative path without '..'."
            )

    @property
    def reading(self) -> dict[str, Any]:
        """Everything that decides the rows, as plain types: all keys but those of groups."""
        return {key: value for key, value in asdict(self).items() if key not in GROUP_KEYS}

    @property
    def num_labels(self) -> int:
        """The number of classes."""
        return len(self.labels)

    @property
    def label_names(self) -> list[str]:
        """The names of the classes, in the order of their ids."""
        return [label.name for label in self.labels]


def stays_below(path: str) -> bool:
    """Return whether a path stays below the folder that it is joined to."""
    # Windows' rules cover both slashes, and drives: a path that is safe there is safe on any system.
    pure = PureWindowsPath(path)
    return bool(pure.parts) and not pure.anchor and ".." not in pure.parts


_NSMC_URL = "https://raw.githubusercontent.com/e9t/nsmc/cc0670e872d4ac27bfe36c87456783004b39ef6c"

NSMC = Corpus(
    name="nsmc",
    train=Source(
        "ratings_train.txt",
        f"{_NSMC_URL}/ratings_train.txt",
        "e03b7d14e9e41be8d464a28057cd25d7396c53e67aa7fd5f7e552c59b0ee2940",
    ),
    test=Source(
        "ratings_test.txt",
        f"{_NSMC_URL}/ratings_test.txt",
        "8ac9f64052f11dbf6ae0acb5e038f03d90a76f0eda7820cfb3a92d02edfcebda",
    ),
    labels=[Label("0", "negative", "부정"), Label("1", "positive", "긍정")],
    text_column="document",
    id_column="id",
    group_column="movie_id",
    group_files=["test_movies.parquet", "reviews.parquet"],
    repair_quotes=True,
    licence="CC0",
    korean_unit="리뷰",
)
"""Naver sentiment movie corpus v1.0: 150,000 + 50,000 reviews (e9t/nsmc)."""
