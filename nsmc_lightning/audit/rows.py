"""The rows of a corpus as they were published, with numbers for equal texts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from nsmc_lightning.data.clean import has_text
from nsmc_lightning.data.parts import Parts
from nsmc_lightning.data.split import normalise_for_matching
from nsmc_lightning.errors import UserError
from nsmc_lightning.evaluation.duplicates import label_counts
from nsmc_lightning.evaluation.near import Nearest, nearest


class PublishedRows(NamedTuple):
    """The rows of all parts before cleaning.

    Args:
        parts: names of the parts that have rows of their own; a dev part without a file is within train.
        labels: values of the corpus's labels.
        empty: rows without text, columns ``part``, ``id``, ``line``, ``label``, ``text``.
        table: the other rows, index from 0, with these columns and ``class``, the label's number (the number of labels
            for a label outside of the set), and ``exact`` and ``normalised``, numbers of the text as it is and after
            :func:`~nsmc_lightning.data.split.normalise_for_matching`, the same in all parts.
        near: of each normalised text the most similar other one in each part.
    """

    parts: list[str]
    labels: list[str]
    empty: pd.DataFrame
    table: pd.DataFrame
    near: Nearest

    def of(self, part: str) -> pd.DataFrame:
        """Return a part's rows with text."""
        return self.table[self.table["part"] == part]

    def counts(self, part: str, texts: str) -> np.ndarray:
        """Count a part's rows of each text (``exact`` or ``normalised``) and class, int (texts, classes)."""
        rows = self.of(part)
        shape = int(self.table[texts].max()) + 1, len(self.labels) + 1
        return label_counts(rows[texts].to_numpy(), rows["class"].to_numpy(), shape)


def read_published(parts: Parts) -> PublishedRows:
    """Read all rows of a corpus and compare their texts.

    Raises:
        UserError: a file is missing or broken, or there is no row with text.
    """
    names = ["train", *(["dev"] if parts.corpus.dev is not None else []), "test"]
    rows = pd.concat([parts.raw(name).assign(part=name) for name in names], ignore_index=True)
    rows = rows[["part", "id", "line", "label", "text"]]
    with_text = has_text(rows)
    if not with_text.any():
        raise UserError(f"corpus {parts.corpus.name}: no row has a text; is data.corpus.text_column right?")
    labels = [label.value for label in parts.corpus.labels]
    table = rows[with_text].reset_index(drop=True)
    numbers = {value: number for number, value in enumerate(labels)}
    # Without pandas' own type of texts, which refuses half of a surrogate pair.
    table["class"] = [numbers.get(label, len(labels)) for label in table["label"]]
    table["exact"] = pd.factorize(table["text"].to_numpy(object))[0]
    keys = np.array([normalise_for_matching(text) for text in table["text"]], dtype=object)
    table["normalised"], texts = pd.factorize(keys)
    members = np.zeros((len(names), len(texts)), dtype=bool)
    members[table["part"].map({name: i for i, name in enumerate(names)}), table["normalised"]] = True
    return PublishedRows(names, labels, rows[~with_text], table, nearest(texts.tolist(), members))
