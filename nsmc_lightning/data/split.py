"""Splitting rows in two: seeded, stratified by label, equal texts on one side only."""

import re
import unicodedata

import pandas as pd
from sklearn.model_selection import train_test_split

from nsmc_lightning.types import UserError

_NOT_WORD = re.compile(r"[\W_]+")


def normalise_for_matching(text: str) -> str:
    """The text without what does not make two texts different: NFKC, lower case, no punctuation, no white space.

    A text of punctuation alone ("...", "ㅡㅡ;;" is not) stands for itself.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NOT_WORD.sub("", folded) or folded


def split_rows(rows: pd.DataFrame, fraction: float, seed: int, key: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Splits ``fraction`` of the rows off.

    Texts that are equal after :func:`normalise_for_matching` go together; they are stratified by the label of the first
    of them. Rows keep their order on both sides.

    Args:
        rows: columns ``text`` and ``label`` among others.
        fraction: share of the rows to split off, between 0 and 1.
        seed: of the choice.
        key: setting that ``fraction`` comes from, named in errors.

    Returns:
        The rest and the part split off, index from 0.

    Raises:
        UserError: ``fraction`` is not between 0 and 1, or there are too few rows.
    """
    if not 0 < fraction < 1:
        raise UserError(f"{key} is {fraction}: give a share between 0 and 1.")
    keys = rows["text"].map(normalise_for_matching)
    groups = pd.DataFrame({"key": keys, "label": rows["label"]}).drop_duplicates("key")
    try:
        _, chosen = train_test_split(groups["key"], test_size=fraction, random_state=seed, stratify=groups["label"])
    except ValueError as error:
        counts = groups["label"].value_counts().to_dict()
        raise UserError(
            f"{key} {fraction}: too few different texts to split, by label {counts}. "
            "Each label needs two at least: give more rows, or a dev or test file in the corpus."
        ) from error
    off = keys.isin(set(chosen))
    return rows[~off].reset_index(drop=True), rows[off].reset_index(drop=True)
