"""Confident learning on planted errors and on hand-made probabilities."""

import numpy as np
import pytest

from nsmc_lightning.evaluation.scores import Answers
from nsmc_lightning.evaluation.suspects import suspects


def test_a_row_is_suspected_where_another_class_is_as_probable_as_in_that_class_s_own_rows() -> None:
    # Means of the classes' own rows: class 0 (0.9 + 0.2 + 0.45) / 3 = 0.52, class 1 (0.8 + 0.7) / 2 = 0.75.
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55], [0.2, 0.8], [0.3, 0.7]])
    assert suspects(Answers(np.array([0, 0, 0, 1, 1]), probabilities)).tolist() == [1]


def test_the_least_probable_label_comes_first() -> None:
    probabilities = np.array([[0.1, 0.9], [0.02, 0.98], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.3, 0.7]])
    assert suspects(Answers(np.array([0, 0, 0, 0, 0, 1, 1]), probabilities)).tolist() == [1, 0]


def test_a_row_whose_label_is_the_most_probable_class_is_not_suspected() -> None:
    # Class 1 is likely for the first row, its own class is not, and yet that is the most probable.
    probabilities = np.array([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05], [0.3, 0.35, 0.35], [0.1, 0.1, 0.8]])
    assert suspects(Answers(np.array([0, 0, 1, 2]), probabilities)).tolist() == []


@pytest.mark.parametrize("classes", [2, 4])
def test_planted_errors_are_found(classes: int) -> None:
    draw = np.random.default_rng(classes)
    truth = draw.integers(classes, size=2000)
    labels, flipped = truth.copy(), draw.choice(2000, 100, replace=False)
    labels[flipped] = (truth[flipped] + 1) % classes
    logits = draw.normal(size=(2000, classes))
    logits[np.arange(2000), truth] += 5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = suspects(Answers(labels, probabilities))
    assert np.isin(found[:50], flipped).all()
    assert np.isin(flipped, found).mean() > 0.8


def test_a_class_without_rows_is_suspected_nowhere() -> None:
    assert suspects(Answers(np.array([0, 0, 1]), np.array([[0.1, 0.1, 0.8], [0.9, 0, 0.1], [0, 0.5, 0.5]]))).size == 0
    assert suspects(Answers(np.zeros(0, dtype=int), np.zeros((0, 2)))).size == 0
