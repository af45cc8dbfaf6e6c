"""Figures of a data set and of a confusion matrix: arrays in, figure out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nsmc_lightning.callbacks.fonts import families, readable_names

# matplotlib takes seconds to import, and only drawing needs it: it is imported inside functions.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KEPT = "#4c72b0"
_CUT = "#c44e52"
_LONGEST_SHOWN = 99.9  # percentile; one text of 100,000 characters would squeeze all others into a single bar
_BARS = 60
_MOST_CLASSES_WITH_TEXT = 20  # with more, numbers in the cells cannot be read
_LONGEST_LEVEL_NAME = 12  # letters; longer names below the columns are turned, or they would run into each other


def draw_lengths(
    characters: np.ndarray, tokens: np.ndarray | None, max_length: int, texts: str = "training texts"
) -> "Figure":
    """Draw histograms of the texts' lengths; the title gives the share of texts longer than ``max_length`` tokens.

    Args:
        characters: of each text, int (N,).
        tokens: of each text, special tokens included, before truncation, int (N,); None draws characters only.
        max_length: tokens a text is cut to.
        texts: what the title calls them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11 if tokens is not None else 5.5, 4.2), layout="constrained")
    title = f"{len(characters):,} {texts}"
    if tokens is not None:
        left, right = figure.subplots(1, 2)
        cut = float(np.mean(tokens > max_length)) if len(tokens) else 0.0
        title += f", {cut:.2%} cut at {max_length} tokens"
        _draw_histogram(right, tokens, "tokens", max_length)
    else:
        left = figure.subplots()
    _draw_histogram(left, characters, "characters", None)
    figure.suptitle(title, fontweight="bold")
    return figure


def _draw_histogram(axes: "Axes", lengths: np.ndarray, unit: str, limit: int | None) -> None:
    from matplotlib.ticker import MaxNLocator

    longest = int(np.max(lengths, initial=1))
    edges = _bar_edges(lengths, limit)
    heights, _ = np.histogram(np.clip(lengths, None, edges[-1] - 0.5), edges)
    colours = [_CUT if limit is not None and edge > limit else _KEPT for edge in edges[:-1]]
    axes.bar(edges[:-1], heights, np.diff(edges), align="edge", color=colours, edgecolor="white", linewidth=0.4)
    if limit is not None:
        axes.axvline(limit + 0.5, color=_CUT, linestyle="--", linewidth=1.2, label=f"max_length = {limit}")
        axes.legend(frameon=False)
    if len(lengths):
        axes.set_title(f"{unit}: median {np.median(lengths):.0f}, longest {longest:,}", fontsize="medium")
    axes.set_xlabel(f"{unit} in a text" + (" (last bar: this and longer)" if longest > edges[-1] else ""))
    axes.set_ylabel("texts")
    axes.set_xlim(left=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator("auto", integer=True))
        axis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)


def _bar_edges(lengths: np.ndarray, limit: int | None) -> np.ndarray:
    """Return edges of equal bars, one of them at ``limit``, so that each bar is kept or cut as a whole."""
    shown = max(int(np.percentile(lengths, _LONGEST_SHOWN)) if len(lengths) else 1, limit or 1)
    width = -(-shown // _BARS)
    return np.arange((limit or 0) % width + 0.5 - width, shown + 0.5 + width, width)


def draw_confusion(matrix: np.ndarray, names: Sequence[str]) -> "Figure":
    """Draw a confusion matrix with counts and each row's percentages; the title gives the accuracy.

    *Shape:* ``matrix`` int (classes, classes), a row for each true class, a column for each predicted one.
    """
    from matplotlib.figure import Figure

    classes, total = len(matrix), int(matrix.sum())
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(2.4 + 1.1 * classes, 20)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8, format="{x:.0%}").set_label("share of the true class")
    if classes <= _MOST_CLASSES_WITH_TEXT:
        _write_cells(axes, matrix, shares)
    _name_axes(axes, names)
    axes.set_title(f"accuracy {int(np.trace(matrix)) / max(total, 1):.2%} of {total:,} texts", fontweight="bold")
    return figure


def _write_cells(axes: "Axes", matrix: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(matrix):
        share = shares[row, column]
        text = f"{count:,}\n{share:.1%}" if matrix[row].any() else "0"  # a class without texts has no shares
        axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.5 else "black")


def _name_axes(axes: "Axes", names: Sequence[str]) -> None:
    shown = readable_names(names)
    style: dict[str, Any] = {"fontfamily": families(), "parse_math": False}  # a dollar sign starts no formula
    axes.set_xticks(range(len(shown)), labels=shown, **style)
    axes.set_yticks(range(len(shown)), labels=shown, **style)
    if max(map(len, shown)) > _LONGEST_LEVEL_NAME:
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
