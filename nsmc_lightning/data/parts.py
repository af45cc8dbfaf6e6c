"""Files and rows of each part of a corpus: download, read, clean, split."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from nsmc_lightning.data.cache import texts_digest
from nsmc_lightning.data.clean import clean_test, clean_train, has_text
from nsmc_lightning.data.corpus import Corpus, OnBadRows, Source
from nsmc_lightning.data.demo.grammar import write_demo
from nsmc_lightning.data.download import fetch
from nsmc_lightning.data.read import read_labelled, read_texts
from nsmc_lightning.data.split import split_rows
from nsmc_lightning.data.trained_on import TrainedOn
from nsmc_lightning.errors import UserError
from nsmc_lightning.files import file_digest

TEST_SEED = 0  # of the split of a corpus without a test part: with the run's seed the test set would change


class Parts:
    """The parts train, dev, test and predict; files are downloaded and read on first use.

    Args:
        corpus: the data set.
        data_dir: folder of its files; None downloads or generates them in ``cache_dir``.
        cache_dir: folder for downloads and generated files.
        dev_fraction: share of train that becomes dev if the corpus has no dev part.
        split_seed: seed of that split.
        predict_path: file of the part predict.
        encoding: encoding of that file.
        on_bad_rows: what to do with its unreadable rows, see :func:`~nsmc_lightning.data.read.read_texts`.
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
        self._generate = corpus.generate == "demo" and data_dir is None
        self.data_dir = cache_dir / "demo" if self._generate else data_dir
        self.cache_dir = cache_dir
        self.dev_fraction = dev_fraction
        self.split_seed = split_seed
        self.predict_path = predict_path
        self.encoding = encoding
        self.on_bad_rows: OnBadRows = on_bad_rows
        self.counts: dict[str, dict[str, int]] = {}
        """What cleaning did to the file of each part that was read."""
        self.trained_on: TrainedOn | None = None
        """What the model of the checkpoint in use was trained on, if there is one."""
        self._rows: dict[str, pd.DataFrame] = {}
        self._digests: dict[Path, str] = {}

    # Files

    def source(self, part: str) -> Source:
        """Return the source of train, dev or test."""
        own = {"train": None, "dev": self.corpus.dev, "test": self.corpus.test}[part]
        return own or self.corpus.train

    def path(self, part: str) -> Path:
        """Return the file of train, dev or test; it is downloaded or generated first if necessary."""
        if self._generate:
            assert self.data_dir is not None
            write_demo(self.data_dir)
            self._generate = False
        return fetch(self.source(part), self.data_dir, self.corpus.name, self.cache_dir)

    def sha256(self, part: str) -> str:
        """Return the checksum of a part's file.

        Raises:
            UserError: the file cannot be read.
        """
        path = self.path(part)
        if path not in self._digests:
            self._digests[path] = self._digest(path)
        return self._digests[path]

    def key(self, part: str) -> dict[str, Any]:
        """Return everything that decides a part's rows, except the code, as JSON types."""
        return {
            "part": part,
            "sha256": self.sha256(part),
            "corpus": asdict(self.corpus),
            "dev_fraction": self.dev_fraction,
            "split_seed": self.split_seed,
        }

    def refuse_other_rows(self, part: str) -> None:
        """Refuse rows of a training file that is not the one that the checkpoint's model was trained on.

        Raises:
            UserError: see :meth:`~nsmc_lightning.data.trained_on.TrainedOn.refuse_other_rows`.
        """
        if self.trained_on is not None and self.source(part) == self.corpus.train:
            self.trained_on.refuse_other_rows(self.corpus, part, self.path(part), self.sha256(part))

    # Rows

    def rows(self, part: str) -> pd.DataFrame:
        """Return a part's rows: columns ``id``, ``text``, ``line`` and, except for predict, ``label``.

        Raises:
            UserError: the file is missing or broken, or has changed since its checksum was taken.
        """
        if part not in self._rows:
            self._rows |= self._read_rows(part)
        return self._rows[part]

    def _read_rows(self, part: str) -> dict[str, pd.DataFrame]:
        """The rows of a part, and of the part that is split off the same file."""
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

    def raw(self, part: str) -> pd.DataFrame:
        """Return the rows of train, dev or test before cleaning, columns as :meth:`rows`; a label is a str or None.

        Train has the rows of a dev part without a file. A test part without one is split off train, where rows without
        text remain.
        """
        raw = self._read(part)
        if self.corpus.test is not None or self.source(part) != self.corpus.train:
            return raw
        kept = has_text(raw)
        train, test = split_rows(raw[kept], self.corpus.test_fraction, TEST_SEED, "data.corpus.test_fraction")
        return test if part == "test" else pd.concat([train, raw[~kept]], ignore_index=True)

    def _cleaned(self, part: str) -> pd.DataFrame:
        rows, self.counts[part] = clean_train(self.raw(part), self._values, self.corpus.repair_quotes)
        return rows

    def _test(self) -> pd.DataFrame:
        file = self.source("test").file
        rows, self.counts["test"] = clean_test(self.raw("test"), self._values, self.corpus.repair_quotes, file)
        return rows

    def _predict(self) -> pd.DataFrame:
        if self.predict_path is None:
            raise UserError("predict needs texts: give --data.predict_path FILE, or - for standard input.")
        return read_texts(self.predict_path, self.corpus, self.encoding, self.on_bad_rows)

    def _read(self, part: str) -> pd.DataFrame:
        path = self.path(part)
        rows = read_labelled(path, self.corpus)
        # Predictions are written beside rows read at the end of a run, whose tokens may come from the cache.
        if path in self._digests and self._digest(path) != self._digests[path]:
            raise UserError(f"{path}: has changed since this run began to use it; start the run anew.")
        return rows

    def _digest(self, path: Path) -> str:
        try:
            return texts_digest(path, self._values) if self.corpus.format == "folders" else file_digest(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}).") from error

    @property
    def _values(self) -> list[str]:
        return [label.value for label in self.corpus.labels]
