"""Texts one by one: damage, lengths, and what a tokenizer makes of them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from nsmc_lightning.audit.rows import PublishedRows
from nsmc_lightning.data.clean import clean_text, undo_quoting

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NO_TEXT, OUTSIDE = "no text", "label outside the corpus's set"
QUOTES, REPAIRABLE, NOT_NFC = "doubled or wrapping quotes", "a second layer of quotes", "not NFC"
_WHOLE = 10_000_000  # tokens: no text is cut


class Tokens(NamedTuple):
    """The tokens of N texts: lengths before truncation, special tokens included, int (N,); how many are unknown."""

    lengths: np.ndarray
    unknown_share: float


def damaged(rows: PublishedRows) -> pd.DataFrame:
    """Return the rows with something wrong, once for each reason: columns ``part``, ``reason`` and those of rows."""
    texts = rows.table["text"]
    wrapped = texts.str.startswith('"') & texts.str.endswith('"') & (texts.str.len() > 1)
    reasons = {
        OUTSIDE: rows.table["class"] == len(rows.labels),
        QUOTES: wrapped | texts.str.contains('""', regex=False),
        REPAIRABLE: texts.map(lambda text: undo_quoting(text) != text),
        NOT_NFC: texts.map(lambda text: not unicodedata.is_normalized("NFC", text)),
    }
    found = [rows.empty.assign(reason=NO_TEXT)]
    found += [rows.table[chosen].assign(reason=reason) for reason, chosen in reasons.items()]
    return pd.concat(found, ignore_index=True)[["part", "reason", "id", "line", "label", "text"]]


def outside_labels(found: pd.DataFrame, part: str) -> dict[str, int]:
    """Count a part's labels outside of the corpus's set, the most frequent first.

    Args:
        found: of :func:`damaged`.
        part: the part.
    """
    labels = found[(found["part"] == part) & (found["reason"] == OUTSIDE)]["label"]
    return dict(Counter("(none)" if label is None else label for label in labels).most_common())


def length_figures(lengths: np.ndarray) -> dict[str, Any]:
    """Compute mean, median, 99th percentile and longest, and the number of texts of each length.

    *Shape:* ``lengths`` int (N,).
    """
    if not len(lengths):
        return {}
    histogram = {int(length): int(count) for length, count in zip(*np.unique(lengths, return_counts=True), strict=True)}
    return {
        "mean": float(lengths.mean()),
        "median": float(np.median(lengths)),
        "p99": float(np.percentile(lengths, 99)),
        "longest": int(lengths.max()),
        "histogram": histogram,
    }


def cleaned(texts: pd.Series, repair_quotes: bool) -> list[str]:
    """Return texts as a model gets them."""
    return [clean_text(undo_quoting(text) if repair_quotes else text) for text in texts]


def count_tokens(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Tokens:
    """Encode texts and count their tokens, and the share of unknown ones among those that are not special."""
    from nsmc_lightning.data.encode import encode

    encoded = encode(tokenizer, texts, _WHOLE)
    special = tokenizer.backend_tokenizer.num_special_tokens_to_add(False)
    plain = max(len(encoded.tokens) - special * len(texts), 1)
    unknown = tokenizer.unk_token_id
    found = 0 if unknown is None else int((encoded.tokens == unknown).sum())
    return Tokens(encoded.full_lengths, found / plain)
