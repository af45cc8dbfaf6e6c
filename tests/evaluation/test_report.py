"""The report of a test against scikit-learn, and which interval it has."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics

from nsmc_lightning.evaluation.bootstrap import cluster_numbers, mean_interval, score_intervals
from nsmc_lightning.evaluation.report import FEWEST_CLUSTERS, build_report
from nsmc_lightning.evaluation.scores import Answers, scores

LABELS = ["joy", "anger", "fear"]


@pytest.fixture
def answers() -> Answers:
    random = np.random.default_rng(4)
    labels = random.integers(3, size=400)
    return Answers(labels, softmax(random.normal(size=(400, 3)) + 1.5 * np.eye(3)[labels], axis=1))


def test_values_are_those_of_scikit_learn(answers: Answers) -> None:
    first = np.arange(400) < 100
    report = build_report(answers, LABELS, {"half": {"first": first}}, {"rows": np.arange(400)}, draws=50)
    assert report.rows == 400
    assert {name: score.value for name, score in report.scores.items()} == pytest.approx(scores(answers))
    expected = metrics.precision_recall_fscore_support(answers.labels, answers.predicted)
    for i, (name, found) in enumerate(report.classes.items()):
        assert name == LABELS[i]
        values = (found.precision.value, found.recall.value, found.f1.value, found.support)
        assert values == pytest.approx([column[i] for column in expected])
    part = report.parts["half"]["first"]
    assert (part.rows, part.accuracy.value) == (100, pytest.approx(answers.correct[first].mean()))


def test_intervals_are_those_of_a_bootstrap_over_the_clusters(answers: Answers) -> None:
    clusters = cluster_numbers(np.arange(400) // 3)
    report = build_report(answers, LABELS, {}, {"text": clusters}, draws=300, seed=5)
    expected = score_intervals(answers, clusters, draws=300, seed=5)
    for name, score in report.scores.items():
        assert score.interval == pytest.approx(expected[name])
        assert score.clusters == "text"
    anger = answers.correct[answers.labels == 1].astype(float)
    recall = mean_interval(anger, np.arange(len(anger)), draws=2000)
    found = report.classes["anger"].recall.interval
    assert found == pytest.approx(recall, abs=0.03)
    assert (report.clusters, report.draws, report.seed) == ({"text": 134}, 300, 5)


def test_of_two_clusterings_the_wider_interval_is_taken(answers: Answers) -> None:
    alike = cluster_numbers(np.where(answers.correct, 0, 100) + np.arange(400) % 40)  # all right, or all wrong
    report = build_report(answers, LABELS, {}, {"rows": np.arange(400), "movie": alike}, draws=200)
    rows, movies = (score_intervals(answers, clusters, draws=200)["accuracy"] for clusters in (np.arange(400), alike))
    assert movies.high - movies.low > 1.5 * (rows.high - rows.low)
    assert report.scores["accuracy"].clusters == "movie"
    assert report.scores["accuracy"].interval == pytest.approx(movies)


def test_few_clusters_and_rows_that_are_all_alike_have_no_interval(answers: Answers) -> None:
    few, right = np.arange(400) < FEWEST_CLUSTERS - 1, answers.correct
    parts = {"kind": {"few": few, "right": right, "none": np.zeros(400, dtype=bool)}}
    found = build_report(answers, LABELS, parts, {"rows": np.arange(400)}, draws=50).parts["kind"]
    assert found["few"].accuracy == (answers.correct[few].mean(), None, None)
    assert found["right"].accuracy == (1.0, None, None)
    assert found["none"].rows == 0
    assert np.isnan(found["none"].accuracy.value)


def test_calibration_without_the_temperature(answers: Answers) -> None:
    logits = np.log(answers.probabilities)
    calibrated = Answers(answers.labels, softmax(logits / 2.5, axis=1))
    report = build_report(calibrated, LABELS, {}, {"rows": np.arange(400)}, temperature=2.5, draws=50)
    before, after = scores(answers), scores(calibrated)
    for name in ("calibration_error", "brier"):
        assert report.before_temperature[name].value == pytest.approx(before[name])
        assert report.scores[name].value == pytest.approx(after[name]) != pytest.approx(before[name])


def test_a_class_without_rows(answers: Answers) -> None:
    seen = answers.part(answers.labels < 2)
    report = build_report(seen, LABELS, {}, {"rows": np.arange(len(seen.labels))}, draws=50)
    assert report.classes["fear"].support == 0
    assert report.classes["fear"].recall == (0.0, None, None)
    assert np.isnan(report.scores["auroc"].value)
    assert report.scores["auroc"].interval is None
