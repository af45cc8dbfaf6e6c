"""Figures of a classifier's answers: reliability, ROC, precision and recall, accuracy of parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nsmc_lightning.callbacks.fonts import families, readable_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nsmc_lightning.evaluation.bootstrap import Interval
    from nsmc_lightning.evaluation.calibration import Reliability
    from nsmc_lightning.evaluation.scores import Answers

_BLUE, _GREY = "#4c72b0", "#999999"
_COLOURS = "tab20"
_MOST_POINTS = 2000  # of a curve: more cannot be seen
_MOST_CLASSES = 20


def draw_reliability(points: Mapping[str, Reliability]) -> Figure:
    """Draw accuracy against confidence, with the share of texts in each bin below (Guo et al. 2017, figure 1).

    Args:
        points: the bins by the name of what gave the probabilities.
    """
    from matplotlib.figure import Figure

    from nsmc_lightning.evaluation.calibration import calibration_error  # imports scipy

    figure = Figure(figsize=(6, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
    for name, found in points.items():
        rows, filled = found.rows.sum(), found.rows > 0
        label = f"{name}: calibration error {calibration_error(found):.2%}"
        upper.plot(found.confidence[filled], found.accuracy[filled], marker="o", markersize=4, label=label)
        lower.plot(found.confidence[filled], found.rows[filled] / max(rows, 1), marker="o", markersize=3)
    upper.set_ylabel("accuracy")
    upper.legend(frameon=False, loc="upper left")
    lower.set(xlabel="confidence: probability of the predicted class", ylabel="share of texts", xlim=(0, 1))
    _finish(upper, lower)
    return figure


def draw_roc(answers: Answers, names: Sequence[str]) -> Figure:
    """Draw the ROC curve of each class against the others, for two classes that of class 1.

    Args:
        answers: labels and probabilities.
        names: of the classes.
    """
    from sklearn.metrics import auc, roc_curve

    figure, axes = _square("false positives: share of the other texts", "true positives: share of the class")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
    for number, name in _shown(answers, names):
        wrong, right, _ = roc_curve(answers.labels == number, answers.probabilities[:, number])
        _curve(axes, wrong, right, f"{name}: area {auc(wrong, right):.4f}")
    return _with_legend(figure, axes)


def draw_precision_recall(answers: Answers, names: Sequence[str]) -> Figure:
    """Draw precision against recall of each class, for two classes of class 1.

    Args:
        answers: labels and probabilities.
        names: of the classes.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure, axes = _square("recall", "precision")
    for number, name in _shown(answers, names):
        of_class, probability = answers.labels == number, answers.probabilities[:, number]
        precision, recall, _ = precision_recall_curve(of_class, probability)
        average = average_precision_score(of_class, probability)
        _curve(axes, recall, precision, f"{name}: average precision {average:.4f}")
    return _with_legend(figure, axes)


def draw_accuracies(parts: Mapping[str, tuple[int, float, Interval]], title: str) -> Figure:
    """Draw a bar for the accuracy of each part, with its interval.

    Args:
        parts: rows, accuracy and interval, by the part's name.
        title: of the figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.45 * len(parts)), layout="constrained")
    axes = figure.subplots()
    values = np.array([accuracy for _, accuracy, _ in parts.values()])
    ends = np.array([[accuracy - low, high - accuracy] for _, accuracy, (low, high) in parts.values()]).reshape(-1, 2).T
    places = np.arange(len(parts))
    axes.barh(places, values, xerr=np.nan_to_num(np.clip(ends, 0, None)), color=_BLUE, ecolor="black", capsize=3)
    names = [f"{name} ({rows:,})" for name, (rows, _, _) in zip(readable_names([*parts]), parts.values(), strict=True)]
    axes.set_yticks(places, labels=names, fontfamily=families(), parse_math=False)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set(title=title, xlabel="accuracy, with 95% intervals", xlim=(0, 1))
    _finish(axes)
    return figure


def _shown(answers: Answers, names: Sequence[str]) -> list[tuple[int, str]]:
    """Return numbers and names of the classes that have a curve: those with texts, and not with all of them."""
    every = enumerate(readable_names(names))
    wanted = list(every)[1:] if len(names) == 2 else list(every)[:_MOST_CLASSES]
    return [(number, name) for number, name in wanted if 0 < (answers.labels == number).mean() < 1]


def _curve(axes: Axes, x: np.ndarray, y: np.ndarray, label: str) -> None:
    chosen = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).round().astype(int))
    axes.plot(x[chosen], y[chosen], linewidth=1.4, label=label)


def _square(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 6), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=colormaps[_COLOURS].colors)  # type: ignore[attr-defined]
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1), ylim=(0, 1.01))
    return figure, axes


def _with_legend(figure: Figure, axes: Axes) -> Figure:
    if axes.get_legend_handles_labels()[0]:
        legend = axes.legend(frameon=False, loc="lower right" if axes.get_xlabel() != "recall" else "lower left")
        for text in legend.get_texts():
            text.set(fontfamily=families(), parse_math=False)
    _finish(axes)
    return figure


def _finish(*every: Axes) -> None:
    for axes in every:
        axes.spines[["top", "right"]].set_visible(False)
