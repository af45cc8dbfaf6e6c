"""Drawings of lengths and confusion matrices, with warnings as errors."""

import ast
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nsmc_lightning.callbacks import curves, figures, fonts, pictures
from nsmc_lightning.callbacks.figures import draw_confusion, draw_lengths


def pixels(figure: Figure) -> np.ndarray:
    """A figure as it is drawn, uint8 (height, width, 4)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def bars(figure: Figure, axes: int) -> list[Rectangle]:
    """The bars of a histogram."""
    return [bar for bar in figure.axes[axes].patches if isinstance(bar, Rectangle)]


def texts(figure: Figure) -> list[str]:
    """All text in the first axes of a figure."""
    axes = figure.axes[0]
    return [text.get_text() for text in (*axes.texts, *axes.get_xticklabels(), axes.title)]


@pytest.mark.filterwarnings("error")
def test_the_title_gives_the_share_that_is_cut() -> None:
    tokens = np.array([10] * 15 + [64] * 3 + [65] + [9_000])
    figure = draw_lengths(tokens * 2, tokens, max_length=64)
    assert figure.get_suptitle() == "20 training texts, 10.00% cut at 64 tokens"
    tokens_of = bars(figure, 1)
    assert sum(bar.get_height() for bar in tokens_of) == 20  # texts longer than the axis included
    cut = [bar for bar in tokens_of if bar.get_facecolor() != tokens_of[0].get_facecolor()]
    assert sum(bar.get_height() for bar in cut) == 2
    assert pixels(figure).std() > 0


def test_lengths_without_a_tokenizer() -> None:
    figure = draw_lengths(np.array([3, 5, 5]), None, max_length=4, texts="test texts")
    assert figure.get_suptitle() == "3 test texts"
    assert len(figure.axes) == 1
    assert sum(bar.get_height() for bar in bars(figure, 0)) == 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lengths", [[], [5], [0, 0], list(range(1, 400)), [3] * 10 + [100_000]])
@pytest.mark.parametrize("max_length", [2, 64, 512])
def test_lengths_of_odd_parts(lengths: list[int], max_length: int) -> None:
    values = np.array(lengths, dtype=np.int64)
    figure = draw_lengths(values, values, max_length)
    assert [sum(bar.get_height() for bar in bars(figure, axes)) for axes in (0, 1)] == [len(lengths)] * 2
    pixels(figure)


@pytest.mark.filterwarnings("error")
def test_confusion_has_counts_shares_and_names() -> None:
    figure = draw_confusion(np.array([[900, 100], [0, 0]]), ["negative", "$positive$"])
    assert texts(figure) == [
        *("900\n90.0%", "100\n10.0%", "0", "0"),
        *("negative", "$positive$"),
        "accuracy 90.00% of 1,000 texts",
    ]
    assert pixels(figure).std() > 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("classes", [1, 7, 30])
def test_confusion_of_many_classes_and_no_rows(classes: int) -> None:
    pixels(draw_confusion(np.zeros((classes, classes), dtype=np.int64), ["a rather long name"] * classes))


@pytest.mark.parametrize("module", [figures, curves, fonts, pictures])
def test_drawing_libraries_wait_until_something_is_drawn(module: ModuleType) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    modules = {node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module}
    assert not {name.split(".")[0] for name in modules} & {"matplotlib", "torchmetrics", "sklearn"}
