"""Cleaning rules on rows: what is dropped and repaired, each rule counted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nsmc_lightning.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

RULES = (
    "no text",
    "label outside the corpus's set",
    "quotes repaired",
    "normalised to NFC",
    "white space trimmed",
    "duplicates dropped",
    "conflicting labels dropped",
)
"""The rules that are counted, in order; the counts begin with "rows in" and end with "rows out"."""

_SHOWN = 3  # rows named in an error
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Clean a text of training, test or prediction.

    * NFC: vocabularies contain composed Hangul; decomposed, nearly every review would become unknown tokens.
    * White space at the ends is removed: SentencePiece vocabularies would spend tokens on it, and texts that differ in
      it only would not be duplicates.
    * Half a surrogate pair (from broken JSON or a terminal) becomes U+FFFD: tokenizers refuse whole batches with one.

    Everything else is kept, including line breaks and control characters inside the text, which tokenizers handle.
    """
    return unicodedata.normalize("NFC", _without_half_pairs(text)).strip()


def _without_half_pairs(text: str) -> str:
    return _LONE_SURROGATE.sub("\ufffd", text)


def undo_quoting(text: str) -> str:
    """Undo a second layer of CSV quoting; texts without one are returned unchanged.

    CSV wraps a field in quotes and doubles the quotes inside it, only if there are some. So a layer is: quotes at both
    ends, at least one quote between them, and all of those in pairs. The author's own quotes are kept:
    ``"재미" 있다 "굿"`` (single between the ends), ``"굿"`` (none between), ``이 ""영화"" 뭐지`` (not wrapped).
    """
    if len(text) < 4 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    if '"' not in inner or '"' in inner.replace('""', ""):
        return text
    return inner.replace('""', '"')


def counts_table(counts: Mapping[str, int]) -> str:
    """Return the counts of cleaning as lines of text, for the log."""
    width = max(map(len, counts))
    return "\n".join(f"  {rule:<{width}} {count:>9,}" for rule, count in counts.items())


def has_text(rows: pd.DataFrame) -> pd.Series:
    """Return whether each row's ``text`` is more than white space, bool (N,)."""
    return rows["text"].map(lambda text: isinstance(text, str) and text.strip() != "").astype(bool)


def clean_train(
    rows: pd.DataFrame, label_values: Sequence[str], repair_quotes: bool
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Clean a training or dev part.

    Rows without a text or without one of the corpus's labels are dropped, and all but the first of rows with equal text
    and label. A text with different labels is dropped altogether: which of them is right is unknown.

    Args:
        rows: columns ``id`` (str), ``text`` and ``label`` (str or None), ``line`` (int).
        label_values: the labels' spelling in the files, in the order of their ids.
        repair_quotes: undo a second layer of CSV quoting.

    Returns:
        The remaining rows, columns ``id``, ``text``, ``label`` (int64 ids) and ``line``, index from 0; and the count of
        each of ``RULES``, between "rows in" and "rows out".
    """
    counts = {"rows in": len(rows), **dict.fromkeys(RULES, 0)}
    rows = _with_text(rows, counts)
    known = rows["label"].isin(label_values)
    counts["label outside the corpus's set"] = int((~known).sum())
    rows = _repair_texts(rows[known], repair_quotes, counts)
    repeated = rows.duplicated(["text", "label"])
    counts["duplicates dropped"] = int(repeated.sum())
    rows = rows[~repeated]
    conflicting = rows.duplicated("text", keep=False)  # texts that are still repeated have different labels
    counts["conflicting labels dropped"] = int(conflicting.sum())
    return _finish(rows[~conflicting], label_values, counts), counts


def clean_test(
    rows: pd.DataFrame, label_values: Sequence[str], repair_quotes: bool, file: str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Clean a test part: what is measured must not change, so only rows without text are dropped.

    Args:
        rows: as for :func:`clean_train`.
        label_values: as for :func:`clean_train`.
        repair_quotes: as for :func:`clean_train`.
        file: the rows' file, named in the error.

    Returns:
        As :func:`clean_train`; the counts of rules for training parts only are 0.

    Raises:
        UserError: a row has no label, or one outside ``label_values``.
    """
    counts = {"rows in": len(rows), **dict.fromkeys(RULES, 0)}
    rows = _with_text(rows, counts)
    _refuse_labels_outside(rows, label_values, file)
    return _finish(_repair_texts(rows, repair_quotes, counts), label_values, counts), counts


def _with_text(rows: pd.DataFrame, counts: dict[str, int]) -> pd.DataFrame:
    kept = has_text(rows)
    counts["no text"] = int((~kept).sum())
    return rows[kept]


def _refuse_labels_outside(rows: pd.DataFrame, label_values: Sequence[str], file: str) -> None:
    wrong = rows[~rows["label"].isin(label_values)]
    if wrong.empty:
        return
    shown = [
        f"line {line}: {repr(label) if isinstance(label, str) else 'no label'}"
        for line, label in zip(wrong["line"][:_SHOWN], wrong["label"][:_SHOWN], strict=True)
    ]
    if len(wrong) > _SHOWN:
        shown.append(f"and {len(wrong) - _SHOWN:,} more rows")
    raise UserError(
        f"{file}, {'; '.join(shown)}. The corpus's labels are {', '.join(map(repr, label_values))}, and rows of a test "
        "part are never dropped: correct the file or the corpus's labels."
    )


def _repair_texts(rows: pd.DataFrame, repair_quotes: bool, counts: dict[str, int]) -> pd.DataFrame:
    texts = rows["text"].astype(object).map(_without_half_pairs)  # pandas' own type of texts refuses those
    unquoted = texts.map(undo_quoting) if repair_quotes else texts
    counts["quotes repaired"] = int((unquoted != texts).sum())
    composed = unquoted.map(lambda text: unicodedata.normalize("NFC", text))
    counts["normalised to NFC"] = int((composed != unquoted).sum())
    counts["white space trimmed"] = int((composed.str.strip() != composed).sum())
    return rows.assign(text=composed.map(clean_text))


def _finish(rows: pd.DataFrame, label_values: Sequence[str], counts: dict[str, int]) -> pd.DataFrame:
    """The four columns with label ids, index from 0, counted as "rows out"."""
    counts["rows out"] = len(rows)
    ids = {value: i for i, value in enumerate(label_values)}
    rows = rows.assign(label=rows["label"].map(ids).astype("int64"))
    return rows[["id", "text", "label", "line"]].reset_index(drop=True)
