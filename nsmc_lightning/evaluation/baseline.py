"""What a classifier without any pretraining reaches: character n-grams and logistic regression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.multiclass import OneVsRestClassifier

from nsmc_lightning.evaluation.scores import Answers

# On 2,500, 20,000 and 131,000 training texts of NSMC, neither longer n-grams, nor n-grams within words only, nor those
# of letters (jamo) gained more than 0.2 points on dev; the best C was from 4 to 32, and from 2 to 4 for hate speech.
LONGEST_NGRAMS = (3, 4)
COSTS = (2.0, 8.0, 32.0)
FOLDS = 5
_TINY = 1e-12


class Setting(NamedTuple):
    """The n-grams have 1 to ``longest_ngram`` characters; ``cost`` is the C of the logistic regression."""

    longest_ngram: int
    cost: float


class Labelled(NamedTuple):
    """N texts and their labels, int (N,) from 0."""

    texts: Sequence[str]
    labels: np.ndarray


class Baseline:
    """TF-IDF of character n-grams and logistic regression, one class against the rest where there are more than two.

    Args:
        train: what it is fitted to.
        dev: what its setting is chosen on, by cross-entropy; never part of the fit.
        classes: number of classes; one that train lacks gets probability 0.
    """

    def __init__(self, train: Labelled, dev: Labelled, classes: int) -> None:
        self._vectorizer = CountVectorizer(analyzer="char", ngram_range=(1, max(LONGEST_NGRAMS)), dtype=np.float32)
        self._counts = self._vectorizer.fit_transform(train.texts)
        # The columns of a vocabulary by the length of their n-grams: a shorter range is a part of the longest.
        self._lengths = np.fromiter(map(len, self._vectorizer.get_feature_names_out()), dtype=np.int64)
        self._train, self._classes = train, classes
        fitted = min(self._candidates(dev), key=lambda each: _cross_entropy(each.dev))
        self.setting, self.dev = fitted.setting, fitted.dev
        self._tfidf, self._model = fitted.tfidf, fitted.model

    def answers(self, rows: Labelled) -> Answers:
        """Compute the probabilities of texts that it was not fitted to."""
        counts = self._columns(self._vectorizer.transform(rows.texts), self.setting.longest_ngram)
        return Answers(rows.labels, _probabilities(self._model, self._tfidf.transform(counts), self._classes))

    def cross_validated(self, groups: np.ndarray) -> Answers:
        """Compute the probabilities of the training texts, each by a model that has not seen its group.

        They are the same for all classes if there is only one group.

        *Shape:* ``groups`` int (N,): texts that are nearly equal belong together, or each would confirm the other.
        """
        labels, folds = self._train.labels, min(FOLDS, len(np.unique(groups)))
        if folds < 2:
            return Answers(labels, np.full((len(labels), self._classes), 1 / self._classes))
        features = self._tfidf.transform(self._columns(self._counts, self.setting.longest_ngram))
        probabilities = np.zeros((len(labels), self._classes))
        for seen, unseen in GroupKFold(folds, shuffle=True, random_state=0).split(features, labels, groups):
            model = _fit(features[seen], labels[seen], self.setting.cost)
            probabilities[unseen] = _probabilities(model, features[unseen], self._classes)
        return Answers(labels, probabilities)

    def _candidates(self, dev: Labelled) -> Iterator[_Fitted]:
        dev_counts = self._vectorizer.transform(dev.texts)
        for longest in LONGEST_NGRAMS:
            tfidf = TfidfTransformer(sublinear_tf=True)
            features = tfidf.fit_transform(self._columns(self._counts, longest))
            dev_features = tfidf.transform(self._columns(dev_counts, longest))
            for cost in COSTS:
                model = _fit(features, self._train.labels, cost)
                answers = Answers(dev.labels, _probabilities(model, dev_features, self._classes))
                yield _Fitted(Setting(longest, cost), answers, tfidf, model)

    def _columns(self, counts: sparse.csr_matrix, longest: int) -> sparse.csr_matrix:
        return counts if longest == max(LONGEST_NGRAMS) else counts[:, np.flatnonzero(self._lengths <= longest)]


class _Fitted(NamedTuple):
    setting: Setting
    dev: Answers
    tfidf: TfidfTransformer
    model: OneVsRestClassifier | int


def _fit(features: sparse.csr_matrix, labels: np.ndarray, cost: float) -> OneVsRestClassifier | int:
    """Fit a model; where all labels are the same, return that label, which no regression can be fitted to."""
    if len(np.unique(labels)) == 1:
        return int(labels[0])
    # The dual problem: the same result as that of lbfgs with a tolerance of 1e-6, in a tenth of its time.
    regression = LogisticRegression(C=cost, solver="liblinear", dual=True, tol=0.1, max_iter=1000, random_state=0)
    return OneVsRestClassifier(regression).fit(features, labels)


def _probabilities(model: OneVsRestClassifier | int, features: sparse.csr_matrix, classes: int) -> np.ndarray:
    """Return the probabilities of all classes, float64 (N, classes)."""
    probabilities = np.zeros((features.shape[0], classes))
    if isinstance(model, int):
        probabilities[:, model] = 1
    else:
        probabilities[:, model.classes_] = model.predict_proba(features)
    return probabilities


def _cross_entropy(answers: Answers) -> float:
    own = answers.probabilities[np.arange(len(answers.labels)), answers.labels]
    return float(-np.log(np.maximum(own, _TINY)).mean())
