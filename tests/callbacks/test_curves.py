"""Curves of known answers, with warnings as errors."""

import numpy as np
import pytest

from nsmc_lightning.callbacks.curves import draw_accuracies, draw_precision_recall, draw_reliability, draw_roc
from nsmc_lightning.evaluation.bootstrap import Interval
from nsmc_lightning.evaluation.calibration import reliability
from nsmc_lightning.evaluation.scores import Answers, scores
from tests.callbacks.test_figures import pixels

pytestmark = pytest.mark.filterwarnings("error")


def answers(classes: int, rows: int = 5000) -> Answers:
    random = np.random.default_rng(0)
    labels = random.integers(classes, size=rows)
    logits = random.normal(size=(rows, classes)) + np.eye(classes)[labels]
    return Answers(labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))


def legend(figure: object) -> list[str]:
    axes = figure.axes[0]  # type: ignore[attr-defined]
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_reliability_names_the_calibration_error() -> None:
    given = answers(3)
    found = scores(given)["calibration_error"]
    figure = draw_reliability({"before": reliability(given), "after": reliability(given)})
    assert legend(figure) == [f"{name}: calibration error {found:.2%}" for name in ("before", "after")]
    points = figure.axes[0].lines[1]
    assert len(points.get_xdata()) == (reliability(given).rows > 0).sum()
    pixels(figure)


def test_roc_of_two_classes_is_that_of_class_1() -> None:
    given = answers(2)
    figure = draw_roc(given, ["negative", "$positive$"])
    assert legend(figure) == [f"$positive$: area {scores(given)['auroc']:.4f}"]
    assert len(figure.axes[0].lines[1].get_xdata()) <= 2000
    pixels(figure)


@pytest.mark.parametrize("draw", [draw_roc, draw_precision_recall])
@pytest.mark.parametrize("classes", [3, 30])
def test_each_class_with_texts_has_a_curve(draw: object, classes: int) -> None:
    given = answers(classes, rows=300)
    without = given.part(given.labels != 1)
    figure = draw(without, [f"이름 {number}" for number in range(classes)])  # type: ignore[operator]
    assert len(legend(figure)) == min(classes, 20) - 1
    pixels(figure)


@pytest.mark.parametrize("draw", [draw_roc, draw_precision_recall])
def test_texts_of_one_class_have_no_curve(draw: object) -> None:
    pixels(draw(Answers(np.zeros(4, int), np.full((4, 2), 0.5)), ["negative", "positive"]))  # type: ignore[operator]


def test_accuracies_of_parts() -> None:
    parts = {"1–10 글자": (120, 0.8, Interval(0.7, 0.9)), "none": (0, float("nan"), Interval(np.nan, np.nan))}
    figure = draw_accuracies(parts, "accuracy by length")
    assert next(bar.get_width() for bar in figure.axes[0].patches) == 0.8
    assert figure.axes[0].get_yticklabels()[1].get_text() == "none (0)"
    pixels(figure)
