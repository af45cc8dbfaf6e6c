"""What a test report tells apart: parts of the test rows, and clusters of rows that are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nsmc_lightning.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from nsmc_lightning.data.parts import Parts

EQUAL_TEXTS = "equal texts"


class Breakdown:
    """The parts and clusters of N test rows.

    Args:
        parts: the corpus's parts.
        rows: the test rows that were measured.

    Attributes:
        parts: by kind and title, which rows belong to a part, bool (N,).
        clusterings: by name, the number of each row's cluster, int (N,).
        notes: what is left out and why, a line each.
    """

    def __init__(self, parts: Parts, rows: pd.DataFrame) -> None:
        from nsmc_lightning.data.split import normalise_for_matching  # imports scikit-learn
        from nsmc_lightning.evaluation.bootstrap import cluster_numbers
        from nsmc_lightning.evaluation.slices import length_bands, slices

        texts = rows["text"].tolist()
        keys = [normalise_for_matching(text) for text in texts]
        self.notes: list[str] = []
        self.clusterings = {EQUAL_TEXTS: cluster_numbers(keys)}
        training = self._training_rows(parts)
        self.parts = {
            "train": {} if training is None else _leaks(texts, keys, training["text"].tolist()),
            "groups": self._groups(parts, rows, training),
            "length": {f"{band} characters": mask for band, mask in length_bands(texts).items()},
            "writing": slices(texts),
        }

    def _training_rows(self, parts: Parts) -> pd.DataFrame | None:
        try:
            return parts.training_rows()
        except UserError as error:
            self._leave_out("which test texts are in train", error)
            return None

    def _groups(self, parts: Parts, rows: pd.DataFrame, training: pd.DataFrame | None) -> dict[str, np.ndarray]:
        """Add the clustering by group, and return the part of groups that train does not have."""
        from nsmc_lightning.data.groups import Groups
        from nsmc_lightning.evaluation.bootstrap import cluster_numbers

        if parts.corpus.group_column is None:
            return {}
        name, groups = str(parts.corpus.group_column), Groups(parts)
        try:
            of_test = groups.of(rows.assign(part="test"))
            if not any(of_test):
                raise UserError("no test row has one.")
            of_train = None if training is None else groups.of(training)
        except UserError as error:
            self._leave_out(f"groups by {name}", error)
            return {}
        # A row without a group is a cluster of its own.
        self.clusterings[name] = cluster_numbers([group or f"row {i}" for i, group in enumerate(of_test)])
        if of_train is None:
            return {}
        if missing := of_train.count(None):
            self.notes.append(
                f"{missing:,} of {len(of_train):,} training rows have no {name}: more groups may be in train."
            )
        known = {*of_train, None}
        return {f"{name} not in train": np.array([group not in known for group in of_test], dtype=bool)}

    def _leave_out(self, what: str, error: UserError) -> None:
        self.notes.append(f"Left out: {what}: {' '.join(str(error).split())}")


def _leaks(texts: list[str], keys: list[str], training: list[str]) -> dict[str, np.ndarray]:
    from nsmc_lightning.data.split import normalise_for_matching
    from nsmc_lightning.evaluation.leaks import leaks

    return leaks(texts, keys, training, [normalise_for_matching(text) for text in training])
