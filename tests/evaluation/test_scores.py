"""Scores against scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from sklearn import metrics
from torchmetrics.functional.classification import multiclass_calibration_error

from nsmc_lightning.evaluation.scores import BINS, Answers, Ranks, class_scores_of_totals, contributions, scores


def random_answers(classes: int, rows: int = 400, digits: int = 16) -> Answers:
    random = np.random.default_rng(classes)
    labels = random.integers(classes, size=rows)
    logits = random.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Answers(labels, probabilities.round(digits))


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_scores_are_those_of_scikit_learn_and_torchmetrics(classes: int) -> None:
    answers = random_answers(classes)
    found, (labels, probabilities), predicted = scores(answers), answers, answers.predicted
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert found["weighted_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="weighted"))
    assert found["mcc"] == pytest.approx(metrics.matthews_corrcoef(labels, predicted))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(labels, probabilities, labels=range(classes)))
    auroc = metrics.roc_auc_score(labels, probabilities[:, 1] if classes == 2 else probabilities, multi_class="ovr")
    assert found["auroc"] == pytest.approx(auroc)
    error = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), classes, n_bins=BINS)
    assert found["calibration_error"] == pytest.approx(float(error), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 7])
def test_scores_of_classes_are_those_of_scikit_learn(classes: int) -> None:
    labels, probabilities = random_answers(classes)
    answers = Answers(np.where(labels == classes - 1, 0, labels), probabilities)  # the last class is only predicted
    found = class_scores_of_totals(np.asarray(contributions(answers).sum(axis=0)), classes)
    expected = metrics.precision_recall_fscore_support(
        answers.labels, answers.predicted, labels=range(classes), zero_division=0
    )
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert found[name][0] == pytest.approx(values)


def test_a_class_that_takes_all() -> None:
    labels = np.array([0, 0, 1, 1])
    found = scores(Answers(labels, np.tile([0.9, 0.1], (4, 1))))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(labels, np.zeros(4), average="macro"))
    assert (found["mcc"], found["auroc"]) == (0.0, 0.5)


def test_auroc_of_weights_is_that_of_repeated_rows_and_counts_ties_half() -> None:
    answers = random_answers(2, rows=200, digits=1)
    times = np.random.default_rng(0).integers(4, size=200)
    expected = metrics.roc_auc_score(answers.labels, answers.probabilities[:, 1], sample_weight=times)
    assert Ranks(answers).auroc(times.astype(float)) == pytest.approx(expected)


def test_auroc_without_rows_of_a_class_is_unknown() -> None:
    assert np.isnan(scores(Answers(np.zeros(3, int), np.full((3, 2), 0.5)))["auroc"])
