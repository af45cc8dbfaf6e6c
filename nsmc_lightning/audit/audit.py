"""The audit of a corpus: from its files to figures, tables and lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from nsmc_lightning.audit import repeated, texts
from nsmc_lightning.audit.labels import judge
from nsmc_lightning.audit.rows import PublishedRows, read_published
from nsmc_lightning.data.parts import Parts
from nsmc_lightning.errors import UserError
from nsmc_lightning.evaluation.near import THRESHOLD

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from nsmc_lightning.classifier import Classifier


class Model(NamedTuple):
    """What may be given besides a corpus: a tokenizer and how many tokens it cuts texts to; a trained classifier."""

    max_length: int
    tokenizer: PreTrainedTokenizerFast | None = None
    classifier: Classifier | None = None


class Audit(NamedTuple):
    """What an audit found.

    Args:
        figures: plain types, for JSON.
        tables: rows by the name of their file.
        lengths: of each part, characters and tokens (None without a tokenizer) of its texts, int (N,).
    """

    figures: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    lengths: dict[str, tuple[np.ndarray, np.ndarray | None]]


def audit(parts: Parts, model: Model) -> Audit:
    """Examine a corpus, compute its baseline and find its suspects, which takes minutes.

    Args:
        parts: the corpus.
        model: what texts are tokenised with, and what may find suspects in dev and test.

    Raises:
        UserError: a file is missing or broken, or no row has a text.
    """
    found = examine(parts, model)
    try:
        scored, suspects = judge(parts, model.classifier, not found.figures["parts"]["test"]["labels_outside"])
    except UserError as error:  # a corpus that cannot be trained on; what was found may tell why
        return found._replace(figures={**found.figures, "not_scored": str(error)})
    return found._replace(figures=found.figures | scored, tables={**found.tables, "suspects": suspects})


def examine(parts: Parts, model: Model) -> Audit:
    """Examine the rows of a corpus, without what :func:`audit` learns from them.

    Args:
        parts: the corpus.
        model: what texts are tokenised with.

    Raises:
        UserError: as :func:`audit`.
    """
    rows = read_published(parts)
    tables = {
        "damaged": texts.damaged(rows),
        "duplicates": repeated.duplicates(rows),
        "near_duplicates": repeated.near_duplicates(rows),
        "conflicts": repeated.conflicts(rows),
        "leaks": repeated.leaks(rows),
    }
    figures, lengths = {}, {}
    for name in rows.parts:
        published = rows.of(name)["text"]
        characters, tokens = published.str.len().to_numpy(np.int64), None
        figures[name] = {
            **_of_file(parts, name),
            **_of_rows(rows, tables, name, parts.corpus.label_names),
            "characters": texts.length_figures(characters),
        }
        if model.tokenizer is not None:
            cleaned = texts.cleaned(published, parts.corpus.repair_quotes)
            tokens = texts.count_tokens(model.tokenizer, cleaned)
            figures[name]["tokens"] = _of_tokens(tokens, model.max_length)
        lengths[name] = characters, None if tokens is None else tokens.lengths
    return Audit({"corpus": parts.corpus.name, "near_threshold": THRESHOLD, "parts": figures}, tables, lengths)


def _of_file(parts: Parts, name: str) -> dict[str, Any]:
    source, sha256 = parts.source(name), parts.sha256(name)
    published = source.sha256 if source.archive is None else None  # of an archive the checksum is another
    return {"file": source.file, "sha256": sha256, "as_published": None if published is None else sha256 == published}


def _of_rows(rows: PublishedRows, tables: dict[str, pd.DataFrame], name: str, label_names: list[str]) -> dict[str, Any]:
    table, damaged = rows.of(name), tables["damaged"]
    reasons = damaged[damaged["part"] == name]["reason"].value_counts()
    labels = table["class"].value_counts()
    earlier = rows.parts[: rows.parts.index(name)]
    return {
        "rows": len(table) + int(reasons.get(texts.NO_TEXT, 0)),
        "rows_with_text": len(table),
        "without_text": int(reasons.get(texts.NO_TEXT, 0)),
        "labels_outside": texts.outside_labels(damaged, name),
        "rows_per_label": {label: int(labels.get(i, 0)) for i, label in enumerate(label_names)},
        "quotes": int(reasons.get(texts.QUOTES, 0)),
        "quotes_repairable": int(reasons.get(texts.REPAIRABLE, 0)),
        "not_nfc": int(reasons.get(texts.NOT_NFC, 0)),
        **repeated.repeat_figures(rows, name),
        "leaks": {each: repeated.leak_figures(tables["leaks"], name, each, len(table)) for each in earlier},
    }


def _of_tokens(tokens: texts.Tokens, max_length: int) -> dict[str, Any]:
    return {
        **texts.length_figures(tokens.lengths),
        "unknown_share": tokens.unknown_share,
        "max_length": max_length,
        "cut_share": float(np.mean(tokens.lengths > max_length)) if len(tokens.lengths) else 0.0,
    }
