"""The rows of each part of a corpus, in order: corpus, download, read, clean, split."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from nsmc_lightning.data.cache import file_digest
from nsmc_lightning.data.clean import clean_test, clean_train, has_text
from nsmc_lightning.data.corpus import Corpus, OnBadRows, Source, TrainedOn
from nsmc_lightning.data.download import fetch
from nsmc_lightning.data.read import read_labelled, read_texts
from nsmc_lightning.data.split import split_rows
from nsmc_lightning.errors import UserError

TEST_SEED = 0  # of the test part of a corpus that has none: never the run's seed, or the test set would move with it

# What a file's rows do not follow from. The files themselves are compared by their content, labels by their values.
_NOT_READ_BY = {"name", "train", "dev", "test", "labels", "id_column", "generate", "licence", "korean_unit"}


class PartRows(dict[str, pd.DataFrame]):
    """Rows of train, dev, test and predict by these names, read when first asked for; ``in`` tells what has been read.

    Args:
        corpus: the data set.
        data_dir: folder that holds its files; None is ``cache_dir``, to which they are downloaded.
        cache_dir: folder for downloads.
        dev_fraction: share of train that becomes dev where the corpus has none.
        split_seed: of that split.
        predict_path: file of the part predict.
        encoding: of that file.
        on_bad_rows: what a row of it that cannot be read leads to, see :func:`~nsmc_lightning.data.read.read_texts`.

    Raises:
        UserError: on asking for a part whose file is missing, broken, or has changed since its digest was taken.
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
        super().__init__()
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
        self._digests: dict[Path, str] = {}

    def __missing__(self, part: str) -> pd.DataFrame:
        if part == "predict":
            self[part] = self._predict()
        elif part == "test":
            self[part] = self._test()
        elif self.corpus.dev is not None:
            self[part] = self._cleaned(part)
        else:
            rows = self._cleaned("train")
            self.counts["dev"] = self.counts["train"]
            self["train"], self["dev"] = split_rows(rows, self.dev_fraction, self.split_seed, "data.dev_fraction")
        return self[part]

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

    def refuse_another_split(self, part: str) -> None:
        """Refuses rows of the training file that are split otherwise than for the model of the checkpoint in use.

        What is measured on them would have been trained on, and a run that goes on would train on what it measures.

        Raises:
            UserError: it is another file, or another setting of the corpus that decides how it is read or split.
        """
        if self.trained_on is None or self.source(part) != self.corpus.train:
            return
        self._refuse_other_settings(self.trained_on.corpus)
        name = self.trained_on.corpus["train"]["file"]
        if self.made_from(part)["sha256"] != self.trained_on.sha256.get(name):
            instead = "train anew without --ckpt_path" if part == "train" else f"give data.corpus.{part} a file"
            raise UserError(
                f"{self.path(part)}: not the {name} that the checkpoint was trained on (its sha256 differs), "
                f"so that {part} would be other rows.\n"
                f"Name the folder of that file with --data.data_dir, or {instead}."
            )

    def _refuse_other_settings(self, trained: dict[str, Any]) -> None:
        for key in ("dev", "test"):
            if (getattr(self.corpus, key) is None) != (trained[key] is None):
                had = "without a" if trained[key] is None else "with a"
                raise UserError(
                    f"data.corpus.{key}: the checkpoint was trained {had} file for this part, so that other rows were "
                    "split off: leave it out, or train anew without --ckpt_path."
                )
        unread = _NOT_READ_BY if self.corpus.test is None else {*_NOT_READ_BY, "test_fraction"}
        for key, now in asdict(self.corpus).items():
            if key not in unread and key in trained and now != trained[key]:
                raise UserError(
                    f"data.corpus.{key} is {now!r}, but the checkpoint was trained with {trained[key]!r}, so that the "
                    "rows would be others: leave it out, or train anew without --ckpt_path."
                )
        now, then = self._values, [label["value"] for label in trained["labels"]]
        if now != then:
            raise UserError(f"data.corpus.labels are {now}, but the checkpoint was trained with {then}.")

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
