"""Intervals against scipy's bootstrap where rows are independent, and in a simulation with clusters."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from nsmc_lightning.evaluation.bootstrap import cluster_numbers, mean_interval, score_intervals
from nsmc_lightning.evaluation.paired import difference
from nsmc_lightning.evaluation.scores import Answers, scores


def answers_of(correct: np.ndarray) -> Answers:
    labels = np.arange(len(correct)) % 2
    return Answers(labels, np.eye(2)[np.where(correct, labels, 1 - labels)])


def test_without_clusters_the_interval_is_scipys() -> None:
    correct = np.random.default_rng(1).random(500) < 0.8
    found = score_intervals(answers_of(correct), np.arange(500), draws=2000)["accuracy"]
    expected = bootstrap((correct,), np.mean, n_resamples=2000, method="percentile", random_state=0).confidence_interval
    assert found == pytest.approx((expected.low, expected.high), abs=0.005)
    assert mean_interval(correct.astype(float), np.arange(500), draws=2000) == pytest.approx(found)


def test_the_interval_covers_the_true_accuracy_of_clustered_rows_in_about_95_of_100_samples() -> None:
    """Rows of a cluster are alike: an interval that ignores them covers far less."""
    random, covered = np.random.default_rng(7), {"clusters": 0, "rows": 0}
    for sample in range(300):
        of_cluster = random.beta(4, 1, size=150)  # mean 0.8
        clusters = np.repeat(np.arange(150), random.integers(1, 12, size=150))
        correct = (random.random(len(clusters)) < of_cluster[clusters]).astype(float)
        for name, groups in (("clusters", clusters), ("rows", np.arange(len(clusters)))):
            low, high = mean_interval(correct, groups, draws=300, seed=sample)
            covered[name] += low <= 0.8 <= high
    assert 0.91 <= covered["clusters"] / 300 <= 0.98
    assert covered["rows"] / 300 < 0.88


def test_every_score_has_an_interval_around_it() -> None:
    random = np.random.default_rng(3)
    labels = random.integers(3, size=300)
    probabilities = random.dirichlet(np.ones(3), size=300) * 0.5 + 0.5 * np.eye(3)[labels]
    answers = Answers(labels, probabilities)
    intervals = score_intervals(answers, cluster_numbers([f"text {number // 2}" for number in range(300)]), draws=200)
    for name, value in scores(answers).items():
        assert intervals[name].low <= value <= intervals[name].high


def test_the_interval_of_a_calibration_error_covers_the_true_one() -> None:
    """Noise adds to a calibration error, and draws have more of it: their percentiles cover 8 of 100."""
    random, covered = np.random.default_rng(2), 0

    def overconfident(rows: int) -> Answers:
        logits = random.normal(size=rows) * 3
        labels = (random.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.int64)
        shares = 1 / (1 + np.exp(-1.15 * logits))
        return Answers(labels, np.stack([1 - shares, shares], axis=1))

    true = scores(overconfident(300_000))["calibration_error"]
    for sample in range(40):
        low, high = score_intervals(overconfident(1000), np.arange(1000), 100, sample)["calibration_error"]
        covered += low <= true <= high
    assert covered >= 32


def test_equal_keys_are_one_cluster() -> None:
    assert cluster_numbers(["굿", "별로", "굿"]).tolist() == [0, 1, 0]


def test_a_paired_difference_is_tighter_than_two_intervals() -> None:
    random = np.random.default_rng(5)
    first = random.random(2000) < 0.9
    second = first & (random.random(2000) < 0.98)
    value, (low, high) = difference(first, second, np.arange(2000))
    assert value == pytest.approx(first.mean() - second.mean())
    assert 0 < low < value < high
    assert high - low < 0.02
