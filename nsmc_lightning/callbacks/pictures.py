"""Figures for TensorBoard: the lengths of the texts, and which classes are predicted for which."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

# matplotlib and torchmetrics take seconds to import, and only drawing needs them: they are imported inside functions.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torchmetrics.classification import MulticlassConfusionMatrix

_KEPT = "#4c72b0"
_CUT = "#c44e52"
_LONGEST_SHOWN = 99.9  # percentile; one text of 100,000 characters would squeeze all others into a single bar
_BARS = 60
_MOST_CLASSES_WITH_TEXT = 20  # with more, numbers in the cells cannot be read
_LONGEST_LEVEL_NAME = 12  # letters; longer names below the columns are turned, or they would run into each other
_HANGUL_FONTS = (
    *("NanumGothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic"),
    *("NanumBarunGothic", "NanumSquare", "Nanum Gothic", "Pretendard", "UnDotum", "Baekmuk Dotum"),
    *("Noto Sans CJK JP", "Droid Sans Fallback"),  # the first is how matplotlib lists Debian's file of all of Noto CJK
)


class Pictures(Callback):
    """Log figures to TensorBoard; do nothing where no logger is a TensorBoardLogger.

    * ``train/lengths`` when training starts: characters and tokens of the training texts, and what is cut off.
    * ``val/confusion_matrix`` after each validation, ``test/confusion_matrix`` after a test: over all processes.
    """

    def __init__(self) -> None:
        self._confusion: MulticlassConfusionMatrix | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        logger = _tensorboard(trainer)
        if logger is None or not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        part = data.encoded["train"]
        figure = draw_lengths(part.characters, part.reviews.full_lengths, data.max_length)
        logger.experiment.add_figure("train/lengths", figure, trainer.global_step)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start a new count: a sanity check may have begun one."""
        self._confusion = None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if trainer.sanity_checking or _tensorboard(trainer) is None:
            return
        if self._confusion is None:
            self._confusion = _new_confusion(outputs.probabilities.shape[1]).to(outputs.probabilities.device)
        self._confusion.update(outputs.probabilities, batch.labels)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_confusion(trainer, "val/confusion_matrix")

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_confusion(trainer, "test/confusion_matrix")

    def _log_confusion(self, trainer: Trainer, tag: str) -> None:
        logger = _tensorboard(trainer)
        if self._confusion is None or logger is None:
            return
        matrix = self._confusion.compute().cpu().numpy()  # on every process: it adds up their counts
        self._confusion = None
        if trainer.is_global_zero:
            names = trainer.datamodule.corpus.label_names  # type: ignore[attr-defined]
            logger.experiment.add_figure(tag, draw_confusion(matrix, names), trainer.global_step)


def _tensorboard(trainer: Trainer) -> TensorBoardLogger | None:
    return next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)


def _new_confusion(classes: int) -> "MulticlassConfusionMatrix":
    from torchmetrics.classification import MulticlassConfusionMatrix

    # To check the values, the processor would wait for the accelerator at every batch.
    return MulticlassConfusionMatrix(classes, validate_args=False)


# Drawing: arrays in, figure out


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
    style: dict[str, Any] = {"fontfamily": _families(), "parse_math": False}  # a dollar sign starts no formula
    axes.set_xticks(range(len(shown)), labels=shown, **style)
    axes.set_yticks(range(len(shown)), labels=shown, **style)
    if max(map(len, shown)) > _LONGEST_LEVEL_NAME:
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")


def readable_names(names: Sequence[str]) -> list[str]:
    """Return the names, with "class 0", "class 1" and so on for those with a letter that no font here has."""
    from matplotlib.font_manager import findfont, get_font

    fonts = [get_font(findfont(family)) for family in _families()]

    def readable(name: str) -> bool:
        return all(any(font.get_char_index(ord(letter)) for font in fonts) for letter in name)

    return [name if readable(name) else f"class {i}" for i, name in enumerate(names)]


def _families() -> list[str]:
    """Return matplotlib's own font, which has no Hangul, and the first of those with Hangul that is installed."""
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return ["DejaVu Sans", *[name for name in _HANGUL_FONTS if name in installed][:1]]
