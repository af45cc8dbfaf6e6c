"""The rows of each part of a corpus, in order: corpus, download, read, clean, split."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from nsmc_lightning.data.cache import file_digest
from nsmc_lightning.data.clean import clean_test, clean_train, has_text
from nsmc_lightning.data.corpus import Corpus, OnBadRows, Source
from nsmc_lightning.data.download import fetch
from nsmc_lightning.data.read import read_labelled, read_texts
from nsmc_lightning.data.split import split_rows
from nsmc_lightning.data.trained_on import TrainedOn
from nsmc_lightning.errors import UserError

TEST_SEED = 0  # of the test part of a corpus that has none: never the run's seed, or the test set would move with it


class Parts:
    """Files and rows of the parts train, dev, test and predict; files are downloaded and read when first asked for.

    Args:
        corpus: the data set.
        data_dir: folder that holds its files; None is ``cache_dir``, to which they are downloaded.
        cache_dir: folder for downloads.
        dev_fraction: share of train that becomes dev where the corpus has none.
        split_seed: of that split.
        predict_path: file of the part predict.
        encoding: of that file.
        on_bad_rows: what a row of it that cannot be read leads to, see :func:`~nsmc_lightning.data.read.read_texts`.
    """

    def __init__(
        self,
        corpus: Corpus,
        data_dir: Path | None,
        cache_dir: Path,
        dev_fraction: float,
        split_seed: int,
        predict_path: str | None,
        encoding: str,
        on_bad_rows: OnBadRows,
    ) -> None:
        self.corpus = corpus
        self.data_dir = data_dir
        self.cache_dir = cache_dir
        self.dev_fraction = dev_fraction
        self.split_seed = split_seed
        self.predict_path = predict_path
        self.encoding = encoding
        self.on_bad_rows: OnBadRows = on_bad_rows
        self.counts: dict[str, dict[str, int]] = {}
        """What cleaning did to the file of each part that was read."""
        self.trained_on: TrainedOn | None = None
        """Where a checkpoint is used: what its model was trained on."""
        self._rows: dict[str, pd.DataFrame] = {}
        self._digests: dict[Path, str] = {}

    def source(self, part: str) -> Source:
        """The file that train, dev or test is read from."""
        own = {"train": None, "dev": self.corpus.dev, "test": self.corpus.test}[part]
        return own or self.corpus.train

    def path(self, part: str) -> Path:
        """Where that file is, after it was downloaded if need be."""
        return fetch(self.source(part), self.data_dir, self.corpus.name, self.cache_dir)

    def made_from(self, part: str) -> dict[str, Any]:
        """All that decides which rows a part has, besides the code, as JSON can write it.

        Raises:
            OSError: the file cannot be read.
        """
        path = self.path(part)
        if path not in self._digests:
            self._digests[path] = self._digest(path)
        return {
            "part": part,
            "sha256": self._digests[path],
            "corpus": asdict(self.corpus),
            "dev_fraction": self.dev_fraction,
            "split_seed": self.split_seed,
        }

    def refuse_other_rows(self, part: str) -> None:
        """Refuses rows of the training file that are not those that the model of the checkpoint in use knows as theirs.

        Raises:
            UserError: see :meth:`~nsmc_lightning.data.trained_on.TrainedOn.refuse_other_rows`.
        """
        if self.trained_on is not None and self.source(part) == self.corpus.train:
            sha256 = self.made_from(part)["sha256"]
            self.trained_on.refuse_other_rows(self.corpus, part, self.path(part), sha256)

    def rows(self, part: str) -> pd.DataFrame:
        """The part's rows: columns ``id``, ``text``, ``line`` and, but for predict, ``label``.

        Raises:
            UserError: its file is missing, broken, or has changed since its digest was taken.
        """
        if part not in self._rows:
            self._rows |= self._read_rows(part)
        return self._rows[part]

    def _read_rows(self, part: str) -> dict[str, pd.DataFrame]:
        """The rows of a part, and of the one that is split off the same file."""
        if part == "predict":
            return {part: self._predict()}
        if part == "test":
            return {part: self._test()}
        if self.corpus.dev is not None:
            return {part: self._cleaned(part)}
        rows = self._cleaned("train")
        self.counts["dev"] = self.counts["train"]
        train, dev = split_rows(rows, self.dev_fraction, self.split_seed, "data.dev_fraction")
        return {"train": train, "dev": dev}

    # From file to rows

    def _cleaned(self, part: str) -> pd.DataFrame:
        raw = self._read(part)
        if self.corpus.test is None and self.source(part) == self.corpus.train:
            raw, _ = self._without_test(raw)
        rows, self.counts[part] = clean_train(raw, self._values, self.corpus.repair_quotes)
        return rows

    def _test(self) -> pd.DataFrame:
        raw = self._read("test")
        if self.corpus.test is None:
            _, raw = self._without_test(raw)
        file = self.source("test").file
        rows, self.counts["test"] = clean_test(raw, self._values, self.corpus.repair_quotes, file)
        return rows

    def _without_test(self, raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        return split_rows(raw[has_text(raw)], self.corpus.test_fraction, TEST_SEED, "test_fraction")

    def _predict(self) -> pd.DataFrame:
        if self.predict_path is None:
            raise UserError("predict needs texts: give --data.predict_path FILE, or - for standard input.")
        columns = self.corpus.text_column, self.corpus.id_column
        return read_texts(self.predict_path, *columns, self.encoding, self.on_bad_rows)

    def _read(self, part: str) -> pd.DataFrame:
        path = self.path(part)
        rows = read_labelled(path, self.corpus)
        # Rows must be those that the tokens were made from, and an entry of the cache what its key says.
        if path in self._digests and self._digest(path) != self._digests[path]:
            raise UserError(f"{path}: has changed since this run began to use it; start the run anew.")
        return rows

    def _digest(self, path: Path) -> str:
        return file_digest(path, self._values if self.corpus.format == "folders" else [])

    @property
    def _values(self) -> list[str]:
        return [label.value for label in self.corpus.labels]
