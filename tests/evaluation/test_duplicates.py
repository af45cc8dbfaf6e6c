"""Repeated texts and their labels."""

import numpy as np
import pandas as pd

from nsmc_lightning.evaluation.duplicates import agreement, label_counts, repeats


def test_repeats_of_a_few_rows() -> None:
    #            text 0: 2 rows, text 1: labels 0, 0, 1, text 2: labels 0, 1, 2, text 3: once
    texts, labels = np.array([0, 0, 1, 1, 1, 2, 2, 2, 3]), np.array([1, 1, 0, 0, 1, 0, 1, 2, 0])
    found = repeats(label_counts(texts, labels, (5, 3)))
    assert found._asdict() == {"surplus": 5, "conflicting_texts": 2, "conflicting_rows": 6, "forced_errors": 3}


def test_forced_errors_are_those_of_the_best_classifier() -> None:
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"text": draw.integers(30, size=200), "label": draw.integers(4, size=200)})
    best = table.groupby("text")["label"].agg(lambda labels: labels.mode()[0])
    found = repeats(label_counts(table["text"].to_numpy(), table["label"].to_numpy(), (30, 4)))
    assert found.forced_errors == int((table["label"] != table["text"].map(best)).sum())
    assert found.surplus == int(table.duplicated("text").sum())


def test_agreement_is_with_most_of_the_earlier_rows() -> None:
    counts = np.array([[3, 1], [2, 2], [0, 0], [0, 1]])
    texts, labels = np.array([0, 0, 1, 2, 3, -1]), np.array([0, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(agreement(counts, texts, labels), [1, 0, 0.5, np.nan, 0, np.nan])
    assert agreement(counts, texts[:0], labels[:0]).shape == (0,)
