"""Rules on rows, each counted: what is dropped and what is repaired. No files, no network."""

import unicodedata
from collections.abc import Sequence

import pandas as pd

from nsmc_lightning.types import UserError

_SHOWN = 3  # rows named in an error


def clean_text(text: str) -> str:
    """What every text gets, in training and in prediction alike: NFC, no white space around it.

    Vocabularies hold composed Hangul: decomposed, nearly every review would become unknown tokens.
    """
    return unicodedata.normalize("NFC", text).strip()


def repair_quotes(text: str) -> str:
    """Undoes a second layer of CSV quoting, where the whole text is such a layer.

    That is: the text begins and ends with a quote and every quote between them is doubled. Quotes that are the author's
    own ("재미" 있다 "굿") are left alone, and so are doubled quotes in a text that is not wrapped.
    """
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    if '"' in inner.replace('""', ""):
        return text
    return inner.replace('""', '"')


def clean_train(
    rows: pd.DataFrame, label_values: Sequence[str], quotes_doubled: bool
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Cleans a training or dev part.

    A text that stands with different labels is dropped whole: nobody can say which of its labels is right.

    Args:
        rows: columns ``id``, ``text`` and ``label`` (str or None), ``line``.
        label_values: how the files spell the labels, in the order of their ids.
        quotes_doubled: undo a second layer of CSV quoting.

    Returns:
        The rows left, ``label`` as int64 ids, index from 0; and the count of each rule, in the order applied.
    """
    counts = {"rows read": len(rows)}
    rows = _with_text(rows, counts)
    known = rows["label"].isin(label_values)
    counts["label outside the corpus's set, dropped"] = int((~known).sum())
    rows = _repair(rows[known], quotes_doubled, counts)
    labels_of_text = rows.groupby("text")["label"].transform("nunique")
    twice = rows.duplicated(["text", "label"])
    counts["duplicates dropped"] = int((twice & (labels_of_text == 1)).sum())
    counts["conflicting labels dropped"] = int((labels_of_text > 1).sum())
    rows = rows[~twice & (labels_of_text == 1)]
    counts["rows left"] = len(rows)
    return _with_label_ids(rows, label_values), counts


def clean_test(
    rows: pd.DataFrame, label_values: Sequence[str], quotes_doubled: bool, file: str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Cleans a test part: what is measured must not change, so only rows without text are dropped.

    Args and returns as :func:`clean_train`; ``file`` is named in the error.

    Raises:
        UserError: a label outside ``label_values``.
    """
    counts = {"rows read": len(rows)}
    rows = _with_text(rows, counts)
    wrong = rows[~rows["label"].isin(label_values)]
    if len(wrong):
        shown = ", ".join(f"line {row.line} ({row.label!r})" for row in wrong.head(_SHOWN).itertuples())
        raise UserError(
            f"{file}: {len(wrong)} test rows have a label outside the corpus's set {list(label_values)}: {shown}. "
            "Mend the file or the corpus's labels; test rows are never dropped."
        )
    rows = _repair(rows, quotes_doubled, counts)
    counts["rows left"] = len(rows)
    return _with_label_ids(rows, label_values), counts


def has_text(rows: pd.DataFrame) -> pd.Series:
    """Whether each row has a text that is more than white space, bool."""
    return rows["text"].fillna("").str.strip() != ""


def _with_text(rows: pd.DataFrame, counts: dict[str, int]) -> pd.DataFrame:
    kept = has_text(rows)
    counts["no text, dropped"] = int((~kept).sum())
    return rows[kept]


def _repair(rows: pd.DataFrame, quotes_doubled: bool, counts: dict[str, int]) -> pd.DataFrame:
    text = rows["text"].map(repair_quotes) if quotes_doubled else rows["text"]
    counts["quotes repaired"] = int((text != rows["text"]).sum())
    composed = text.map(lambda one: unicodedata.normalize("NFC", one))
    counts["normalised to NFC"] = int((composed != text).sum())
    return rows.assign(text=composed.map(clean_text))


def _with_label_ids(rows: pd.DataFrame, label_values: Sequence[str]) -> pd.DataFrame:
    ids = {value: i for i, value in enumerate(label_values)}
    return rows.assign(label=rows["label"].map(ids).astype("int64")).reset_index(drop=True)
