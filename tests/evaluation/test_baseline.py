"""The baseline, compared with the pipeline that users write for it."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from nsmc_lightning.data.demo.grammar import demo_rows
from nsmc_lightning.evaluation.baseline import COSTS, LONGEST_NGRAMS, Baseline, Labelled


def demo(part: str, count: int) -> Labelled:
    rows = demo_rows(part, count, seed=0)
    return Labelled([row[1] for row in rows], np.array([int(row[2]) for row in rows]))


def test_it_is_tf_idf_and_logistic_regression_with_the_least_cross_entropy_on_dev() -> None:
    train, dev, test = demo("train", 400), demo("dev", 200), demo("test", 100)
    fitted = Baseline(train, dev, 2)
    losses = {}
    for longest in LONGEST_NGRAMS:
        for cost in COSTS:
            vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, longest), sublinear_tf=True)
            pipeline = make_pipeline(vectorizer, LogisticRegression(C=cost, tol=1e-8, max_iter=1000))
            pipeline.fit(train.texts, train.labels)
            own = pipeline.predict_proba(dev.texts)[np.arange(200), dev.labels]
            losses[-np.log(own).mean()] = (longest, cost), pipeline
    setting, pipeline = losses[min(losses)]
    assert fitted.setting == setting
    for rows, answers in ((dev, fitted.dev), (test, fitted.answers(test))):
        np.testing.assert_allclose(answers.probabilities, pipeline.predict_proba(rows.texts), atol=0.03)
        assert answers.labels is rows.labels


def test_more_classes_and_a_class_that_train_lacks() -> None:
    texts = [f"{word} {i}" for i in range(20) for word in ("빨강", "파랑", "노랑")]
    rows = Labelled(texts, np.array([0, 1, 3] * 20))
    fitted = Baseline(rows, rows, 4)
    for answers in (fitted.dev, fitted.answers(rows), fitted.cross_validated(np.arange(60) // 3)):
        assert answers.correct.all()
        np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1)
        assert not answers.probabilities[:, 2].any()


def test_a_cross_validated_text_is_judged_by_a_model_without_its_group() -> None:
    texts = [f"{word} {i}" for i in range(30) for word in ("재미있다", "지루하다")]
    labels = np.array([1, 0] * 30)
    odd = ["지루하다 하하"] * 6  # all of them with the other label: each would confirm the others
    fitted = Baseline(Labelled(texts + odd, np.append(labels, [1] * 6)), Labelled(texts, labels), 2)
    together = fitted.cross_validated(np.append(np.arange(60), [60] * 6))
    apart = fitted.cross_validated(np.arange(66))
    assert (together.predicted[60:] == 0).all()
    assert (apart.probabilities[60:, 1] > together.probabilities[60:, 1]).all()


@pytest.mark.parametrize("groups", [[0, 0, 0], [0, 1, 2]])
def test_a_train_part_with_a_single_label(groups: list[int]) -> None:
    rows = Labelled(["가", "나", "다"], np.array([1, 1, 1]))
    fitted = Baseline(rows, Labelled(["라"], np.array([0])), 2)
    assert fitted.dev.probabilities.tolist() == [[0, 1]]
    assert np.isfinite(fitted.cross_validated(np.array(groups)).probabilities).all()
