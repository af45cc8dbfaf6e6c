"""Splitting rows in two: seeded, stratified by label, with equal texts on one side only."""

import re
import unicodedata

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from nsmc_lightning.errors import UserError

_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")


def normalise_for_matching(text: str) -> str:
    """Reduce a text to what distinguishes it: NFKC, case folded, without punctuation and white space.

    Returns:
        Letters and digits only; a text without any ("...", "♥♥") unchanged.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NEITHER_LETTER_NOR_DIGIT.sub("", folded) or text


def split_rows(
    rows: pd.DataFrame, fraction: float, seed: int, key: str = "--data.dev_fraction"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split ``fraction`` of the rows off, with the same share of each label on both sides.

    Texts that are equal after :func:`normalise_for_matching` stay together, so that memorised texts are not measured;
    they count once, with their most frequent label. A label with a single such text stays in the rest.

    Args:
        rows: with columns ``text`` (str) and ``label``.
        fraction: share of the rows to split off, between 0 and 1.
        seed: decides the choice.
        key: setting that ``fraction`` comes from, named in errors.

    Returns:
        The rest and the part split off, each in the order of ``rows``, index from 0.

    Raises:
        UserError: ``fraction`` is not between 0 and 1, or one side would have fewer texts than there are labels.
    """
    if not 0 < fraction < 1:
        raise UserError(f"{key} is {fraction}: give a share between 0 and 1.")
    # Numbers, as pandas' own type of texts refuses half of a surrogate pair.
    texts = np.array([normalise_for_matching(text) for text in rows["text"]], dtype=object)
    keys = pd.Series(pd.factorize(texts)[0], rows.index)
    groups = _one_row_per_text(keys, rows["label"])
    try:
        chosen = _choose(groups, fraction, seed)
    except ValueError as error:  # scikit-learn's message names y and n_classes
        raise UserError(
            f"{key} {fraction}: cannot split {len(rows):,} rows with {len(groups):,} different texts and "
            f"{groups['label'].nunique()} labels; both sides need a text of every label. Give more rows, another "
            "share, or the corpus a file for this part."
        ) from error
    split_off = keys.isin(chosen)
    return rows[~split_off].reset_index(drop=True), rows[split_off].reset_index(drop=True)


def _choose(groups: pd.DataFrame, fraction: float, seed: int) -> pd.Series:
    """The keys to split off, stratified by label; ValueError if there are too few."""
    texts_of_label = groups["label"].map(groups["label"].value_counts())
    candidates = groups[texts_of_label > 1]
    _, chosen = train_test_split(
        candidates["key"],
        test_size=round(fraction * len(candidates)),
        random_state=seed,
        stratify=candidates["label"],
    )
    return chosen


def _one_row_per_text(keys: pd.Series, labels: pd.Series) -> pd.DataFrame:
    """Columns ``key`` and ``label``: each key once with its most frequent label, in order of first appearance."""
    pairs = pd.DataFrame({"key": keys, "label": labels})
    pairs["rows"] = pairs.groupby(["key", "label"], sort=False, dropna=False)["key"].transform("size")
    frequent_first = pairs.sort_values("rows", ascending=False, kind="stable")  # of equally frequent ones the first
    return frequent_first.drop_duplicates("key").sort_index()[["key", "label"]]
