"""Texts that occur more than once: within a part, with other labels, and in a part that was there before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nsmc_lightning.audit.rows import PublishedRows
from nsmc_lightning.evaluation.duplicates import agreement, repeats

_SHOWN = ["id", "line", "label", "text"]
_KINDS = ("exact", "normalised")


def repeat_figures(rows: PublishedRows, part: str) -> dict[str, Any]:
    """Count a part's duplicates, and its texts with several labels."""
    found = {kind: repeats(rows.counts(part, kind)) for kind in _KINDS}
    return {
        "duplicates": {
            **{kind: each.surplus for kind, each in found.items()},
            "near": int((_similarity(rows, part) > 0).sum()),
        },
        "conflicts": {
            kind: {"texts": each.conflicting_texts, "rows": each.conflicting_rows, "forced_errors": each.forced_errors}
            for kind, each in found.items()
        },
    }


def duplicates(rows: PublishedRows) -> pd.DataFrame:
    """Return the rows whose text another row of the part has, too: as it is (exact) or normalised.

    Columns ``part``, ``group`` (the number of the normalised text), ``kind``, ``id``, ``line``, ``label``, ``text``.
    """
    table = rows.table
    table = table[table.duplicated(["part", "normalised"], keep=False)]
    return _grouped(table, table.duplicated(["part", "exact"], keep=False))


def conflicts(rows: PublishedRows) -> pd.DataFrame:
    """Return the rows whose text has several labels in the part, as it is (exact) or normalised.

    Columns as :func:`duplicates`.
    """
    conflicting = {}
    for kind in _KINDS:
        labels = rows.table.groupby(["part", kind])["class"].transform("nunique")
        conflicting[kind] = labels > 1
    table = rows.table[conflicting["normalised"]]
    return _grouped(table, conflicting["exact"][table.index])


def near_duplicates(rows: PublishedRows) -> pd.DataFrame:
    """Return the rows with a near duplicate in their part, each beside the most similar one.

    Columns ``part``, ``similarity``, ``id``, ``line``, ``label``, ``text``, and ``similar_id`` and so on.
    """
    found = []
    for part in rows.parts:
        similarity = _similarity(rows, part)
        near = rows.of(part)[similarity > 0]
        others = _first_rows(rows, part, "normalised", _near_text(rows, part, near)).add_prefix("similar_")
        found.append(_beside(near.assign(similarity=similarity[similarity > 0]), ["part", "similarity"], others))
    return pd.concat(found, ignore_index=True).sort_values("similarity", ascending=False, kind="stable")


def _grouped(table: pd.DataFrame, exact: pd.Series) -> pd.DataFrame:
    table = table.assign(group=table["normalised"], kind=np.where(exact, "exact", "normalised"))
    order = table["part"].map({name: i for i, name in enumerate(table["part"].unique())})
    table = table.assign(order=order).sort_values(["order", "group", "kind", "line"], kind="stable")
    return table[["part", "group", "kind", *_SHOWN]]


# Leaks


def leaks(rows: PublishedRows) -> pd.DataFrame:
    """Return the rows whose text an earlier part has, too: as it is, normalised or nearly.

    Columns ``part``, ``earlier_part``, ``kind`` (exact, normalised or near), ``similarity`` (of near ones),
    ``agreement`` (1 where the label is that of most of the earlier rows, see
    :func:`~nsmc_lightning.evaluation.duplicates.agreement`), ``id``, ``line``, ``label``, ``text``, and the first of
    those earlier rows: ``earlier_id`` and so on.
    """
    found = [_leaks(rows, part, earlier) for number, part in enumerate(rows.parts) for earlier in rows.parts[:number]]
    return pd.concat(found, ignore_index=True)


def _leaks(rows: PublishedRows, part: str, earlier: str) -> pd.DataFrame:
    remaining, found = rows.of(part), []
    for kind in (*_KINDS, "near"):
        column = "exact" if kind == "exact" else "normalised"
        texts = remaining[column].to_numpy() if kind != "near" else _near_text(rows, earlier, remaining)
        agrees = agreement(rows.counts(earlier, column), texts, remaining["class"].to_numpy())
        leaked = ~np.isnan(agrees)
        chosen = remaining[leaked].assign(kind=kind, earlier_part=earlier, agreement=agrees[leaked])
        similarity = rows.near.similarity[rows.parts.index(earlier), chosen["normalised"]]
        chosen["similarity"] = similarity if kind == "near" else np.nan
        others = _first_rows(rows, earlier, column, texts[leaked]).add_prefix("earlier_")
        found.append(_beside(chosen, ["part", "earlier_part", "kind", "similarity", "agreement"], others))
        remaining = remaining[~leaked]
    return pd.concat(found, ignore_index=True)


def leak_figures(leaked: pd.DataFrame, part: str, earlier: str, rows: int) -> dict[str, Any]:
    """Count a part's rows that an earlier part has: exact ones, with those that are equal normalised, with near ones.

    Args:
        leaked: of :func:`leaks`.
        part: the part.
        earlier: the part before it.
        rows: the part's rows with text.
    """
    chosen = leaked[(leaked["part"] == part) & (leaked["earlier_part"] == earlier)]
    figures = {}
    for number, kind in enumerate((*_KINDS, "near"), start=1):
        these = chosen[chosen["kind"].isin((*_KINDS, "near")[:number])]
        agrees = float(these["agreement"].mean()) if len(these) else None
        figures[kind] = {"rows": len(these), "share": len(these) / max(rows, 1), "label_agreement": agrees}
    return figures


def _near_text(rows: PublishedRows, part: str, of: pd.DataFrame) -> np.ndarray:
    """The numbers of the part's normalised texts that are most similar to those of rows; -1 where none is near."""
    return rows.near.text[rows.parts.index(part), of["normalised"].to_numpy()]


def _similarity(rows: PublishedRows, part: str) -> np.ndarray:
    """The similarity of the most similar other text in the part, of each of its rows."""
    return rows.near.similarity[rows.parts.index(part), rows.of(part)["normalised"].to_numpy()]


def _first_rows(rows: PublishedRows, part: str, column: str, texts: np.ndarray) -> pd.DataFrame:
    """The part's first row of each text."""
    firsts = rows.of(part).drop_duplicates(column).set_index(column)
    return firsts.loc[texts, _SHOWN]


def _beside(table: pd.DataFrame, columns: list[str], others: pd.DataFrame) -> pd.DataFrame:
    left = table[[*columns, *_SHOWN]].reset_index(drop=True)
    return pd.concat([left, others.reset_index(drop=True)], axis=1)
