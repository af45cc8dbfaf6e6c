"""The raw texts that an encoder may be pretrained on: none that it will be measured on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nsmc_lightning.data.clean import clean_text, has_text
from nsmc_lightning.data.raw_corpus import RawCorpus
from nsmc_lightning.data.read import read_raw
from nsmc_lightning.data.split import normalise_for_matching
from nsmc_lightning.errors import UserError, reason
from nsmc_lightning.files import file_digest

if TYPE_CHECKING:
    import pandas as pd

    from nsmc_lightning.data.parts import Parts

_SPLIT_SEED = 0  # of the texts held out: they would change with the run's seed


class RawTexts:
    """The parts train and dev of raw texts.

    Args:
        path: the file, downloaded or made on first use.
        corpus: its columns.
        exclude: parts whose test and dev rows are left out, by id and by text; None leaves out none.
        val_texts: number of texts held out as dev.
    """

    def __init__(self, path: Callable[[], Path], corpus: RawCorpus, exclude: Parts | None, val_texts: int) -> None:
        self._path = path
        self.corpus = corpus
        self.exclude = exclude
        self.val_texts = val_texts
        self.counts: dict[str, int] = {}
        """What cleaning and the exclusions did to the file, once it was read."""
        self._rows: dict[str, pd.DataFrame] = {}
        self._sha256: str | None = None

    def path(self) -> Path:
        """Return the file, which is fetched first if necessary, with those of the excluded parts."""
        if self.exclude is not None:
            for part in ("dev", "test"):
                self.exclude.path(part)
        return self._path()

    def sha256(self) -> str:
        """Return the checksum of the file.

        Raises:
            UserError: it cannot be read.
        """
        if self._sha256 is None:
            path = self.path()
            try:
                self._sha256 = file_digest(path)
            except OSError as error:
                raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
        return self._sha256

    def key(self, part: str) -> dict[str, Any]:
        """Return everything that decides a part's rows, except the code, as JSON types."""
        excluded = [] if self.exclude is None else [self.exclude.key(name) for name in ("dev", "test")]
        own = {"sha256": self.sha256(), "corpus": asdict(self.corpus), "val_texts": self.val_texts}
        return {"raw": part, **own, "excluded": excluded}

    def rows(self, part: str) -> pd.DataFrame:
        """Return a part's rows: columns ``id`` and ``text`` (str), ``rating`` (float32, 0 to 1, NaN where it has none).

        Raises:
            UserError: a file is missing or broken, a rating is no number, or hardly any text is left.
        """
        if not self._rows:
            rows = self._kept(self._cleaned(read_raw(self.path(), self.corpus)))
            self._rows = dict(zip(("train", "dev"), self._held_out(rows), strict=True))
        return self._rows[part]

    def _cleaned(self, raw: pd.DataFrame) -> pd.DataFrame:
        rows = raw[has_text(raw)].copy()
        self.counts = {"rows in": len(raw), "no text": len(raw) - len(rows)}
        rows["text"] = rows["text"].map(clean_text)
        rows["rating"] = self._scaled(rows["rating"]) if "rating" in rows else np.float32("nan")
        return rows

    def _scaled(self, values: pd.Series) -> pd.Series:
        """Ratings from 0, the file's lowest, to 1, its highest."""
        try:
            ratings = values.astype("float32")
        except ValueError as error:
            column = self.corpus.rating_column
            raise UserError(f"{self.path()}: the column {column} is not all numbers ({reason(error)}).") from error
        lowest, highest = ratings.min(), ratings.max()
        if not (math.isfinite(highest - lowest) and highest > lowest):
            raise UserError(f"{self.path()}: the column {self.corpus.rating_column} has no two different ratings.")
        return (ratings - lowest) / (highest - lowest)

    def _kept(self, rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.assign(key=rows["text"].map(normalise_for_matching))
        for part in ("test", "dev") if self.exclude is not None else ():
            assert self.exclude is not None
            unseen = self.exclude.rows(part)
            if self.corpus.id_column is not None and self.exclude.corpus.id_column is not None:
                rows = self._without(rows, rows["id"].isin(unseen["id"]), f"ids of {part}")
            keys = unseen["text"].map(normalise_for_matching)
            rows = self._without(rows, rows["key"].isin(keys), f"texts of {part}")
        self.counts["rows out"] = len(rows)
        return rows

    def _without(self, rows: pd.DataFrame, which: pd.Series, rule: str) -> pd.DataFrame:
        self.counts[rule] = int(which.sum())
        return rows[~which]

    def _held_out(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Hold texts out, of which training sees no copy either."""
        distinct = rows["key"].drop_duplicates()
        if len(distinct) <= self.val_texts:
            raise UserError(
                f"{self.path()}: {len(distinct):,} different texts are left, no more than data.val_texts "
                f"{self.val_texts:,} to hold out; give more texts, or a smaller --data.val_texts."
            )
        chosen = np.random.default_rng(_SPLIT_SEED).choice(len(distinct), self.val_texts, replace=False)
        held_out = rows["key"].isin(distinct.iloc[chosen])
        parts = rows[~held_out], rows[held_out].drop_duplicates("key")
        train, dev = (part[["id", "text", "rating"]].reset_index(drop=True) for part in parts)
        return train, dev
