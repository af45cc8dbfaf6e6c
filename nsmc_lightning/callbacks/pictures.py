"""Pictures for TensorBoard: how long the texts are, and which classes are taken for which."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

# matplotlib and torchmetrics take seconds to import: inside the functions, and only for who draws.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torchmetrics.classification import MulticlassConfusionMatrix

_KEPT = "#4c72b0"
_CUT = "#c44e52"
_LONGEST_SHOWN = 99.9  # percentile; one text of 100,000 characters would squeeze all others into a single bar
_BARS = 60
_MOST_CLASSES_WITH_TEXT = 20  # beyond, numbers in the cells cannot be read
_LONGEST_LEVEL_NAME = 12  # letters; longer names below the columns are turned, or they would run into each other
_HANGUL_FONTS = ("NanumGothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "AppleGothic", "UnDotum")


class Pictures(Callback):
    """Logs figures to TensorBoard; does nothing where no TensorBoardLogger is among the loggers.

    * ``train/lengths`` when training starts: characters and tokens of the training texts, and what is cut off.
    * ``val/confusion_matrix`` after each validation, ``test/confusion_matrix`` after a test: over all processes.
    """

    def __init__(self) -> None:
        self._confusion: MulticlassConfusionMatrix | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the lengths of the training texts."""
        logger = _tensorboard(trainer)
        if logger is None or not trainer.is_global_zero or trainer.datamodule is None:  # type: ignore[attr-defined]
            return
        _log(logger, "train/lengths", draw_lengths(*_lengths(trainer)), trainer.global_step)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forgets what an earlier epoch counted."""
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
        """Counts a batch."""
        if trainer.sanity_checking or _tensorboard(trainer) is None:
            return
        if self._confusion is None:
            self._confusion = _new_confusion(outputs.probabilities.shape[1]).to(outputs.probabilities.device)
        self._confusion.update(outputs.probabilities, batch.labels)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the dev part's confusion matrix."""
        self._log_confusion(trainer, "val/confusion_matrix")

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the test part's confusion matrix."""
        self._log_confusion(trainer, "test/confusion_matrix")

    def _log_confusion(self, trainer: Trainer, tag: str) -> None:
        logger = _tensorboard(trainer)
        if self._confusion is None or logger is None:
            return
        matrix = self._confusion.compute().cpu().numpy()  # on every process: it adds theirs together
        self._confusion = None
        if trainer.is_global_zero:
            _log(logger, tag, draw_confusion(matrix, _label_names(trainer, len(matrix))), trainer.global_step)


# What is taken from the trainer


def _lengths(trainer: Trainer) -> tuple[np.ndarray, np.ndarray, int]:
    """Characters and tokens (before truncation) of each training text, and the limit they are cut at."""
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    part = datamodule.encoded["train"]
    return part.characters, part.encoded.full_lengths, datamodule.max_length


def _label_names(trainer: Trainer, classes: int) -> list[str]:
    corpus = getattr(trainer.datamodule, "corpus", None)  # type: ignore[attr-defined]
    return corpus.label_names if corpus is not None else [f"class {i}" for i in range(classes)]


def _tensorboard(trainer: Trainer) -> TensorBoardLogger | None:
    return next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)


def _new_confusion(classes: int) -> "MulticlassConfusionMatrix":
    from torchmetrics.classification import MulticlassConfusionMatrix

    # Checking the values would make the processor wait for the accelerator at every batch.
    return MulticlassConfusionMatrix(classes, validate_args=False)


def _log(logger: TensorBoardLogger, tag: str, figure: "Figure", step: int) -> None:
    # add_figure would do, but goes through pyplot, which keeps figures and wants a display on some machines.
    logger.experiment.add_image(tag, pixels(figure), step, dataformats="HWC")


# Drawing: arrays in, figure out


def pixels(figure: "Figure") -> np.ndarray:
    """The figure as it looks on the screen, uint8 (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_lengths(characters: np.ndarray, tokens: np.ndarray, max_length: int) -> "Figure":
    """Histograms of the texts' lengths; tokens beyond ``max_length`` are marked, and their share stands in the title.

    *Shape:* ``characters`` and ``tokens`` int (N,), special tokens included, before truncation.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    cut = float(np.mean(tokens > max_length)) if len(tokens) else 0.0
    figure.suptitle(f"{len(tokens):,} training texts, {cut:.2%} cut at {max_length} tokens", fontweight="bold")
    _draw_histogram(left, characters, "characters", None)
    _draw_histogram(right, tokens, "tokens", max_length)
    return figure


def _draw_histogram(axes: "Axes", lengths: np.ndarray, unit: str, limit: int | None) -> None:
    from matplotlib.ticker import MaxNLocator

    longest = int(np.max(lengths, initial=1))
    shown = max(int(np.percentile(lengths, _LONGEST_SHOWN)) if len(lengths) else 1, limit or 1)
    width = -(-shown // _BARS)
    # Bars end exactly at the limit, so that each is kept or cut as a whole.
    first = (limit or 0) % width + 0.5 - width
    edges = np.arange(first, shown + 0.5 + width, width)
    heights, _ = np.histogram(np.clip(lengths, None, edges[-1] - 0.5), edges)
    colours = [_CUT if limit is not None and edge > limit else _KEPT for edge in edges[:-1]]
    axes.bar(edges[:-1], heights, width, align="edge", color=colours, edgecolor="white", linewidth=0.4)
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


def draw_confusion(matrix: np.ndarray, names: Sequence[str]) -> "Figure":
    """A confusion matrix with counts and each row's percentages, the share of the diagonal in the title.

    A name that no font here can show stands as "class 0", "class 1" and so on.

    *Shape:* ``matrix`` int (classes, classes), a row each true class, a column each predicted one.
    """
    from matplotlib.figure import Figure

    classes = len(matrix)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    side = min(2.4 + 1.1 * classes, 20)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8, format="{x:.0%}").set_label("share of the true class")
    if classes <= _MOST_CLASSES_WITH_TEXT:
        _write_cells(axes, matrix, shares)
    _name_axes(axes, names)
    total = int(matrix.sum())
    right = int(np.trace(matrix)) / max(total, 1)
    axes.set_title(f"accuracy {right:.2%} of {total:,} texts", fontweight="bold")
    return figure


def _write_cells(axes: "Axes", matrix: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(matrix):
        share = shares[row, column]
        text = f"{count:,}\n{share:.1%}" if matrix[row].any() else "0"  # no text of this class: no share either
        axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.5 else "black")


def _name_axes(axes: "Axes", names: Sequence[str]) -> None:
    shown = readable_names(names)
    # A dollar sign in a name is a dollar sign, not the start of a formula.
    style: dict[str, Any] = {"fontfamily": _families(), "parse_math": False}
    axes.set_xticks(range(len(shown)), labels=shown, **style)
    axes.set_yticks(range(len(shown)), labels=shown, **style)
    if max(map(len, shown)) > _LONGEST_LEVEL_NAME:
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")


# Fonts: matplotlib's own has no Hangul


def readable_names(names: Sequence[str]) -> list[str]:
    """The names; one with a letter that no font at hand has becomes "class" and its number, instead of empty boxes."""
    from matplotlib.font_manager import findfont, get_font

    fonts = [get_font(findfont(family)) for family in _families()]

    def readable(name: str) -> bool:
        return all(any(font.get_char_index(ord(letter)) for font in fonts) for letter in name)

    return [name if readable(name) else f"class {i}" for i, name in enumerate(names)]


def _families() -> list[str]:
    hangul = hangul_family()
    return ["DejaVu Sans"] if hangul is None else ["DejaVu Sans", hangul]


@cache
def hangul_family() -> str | None:
    """Family of an installed font with Hangul, the well-known ones first; None where there is none."""
    from matplotlib.font_manager import fontManager

    rank = {name: i for i, name in enumerate(_HANGUL_FONTS)}
    for entry in sorted(fontManager.ttflist, key=lambda entry: rank.get(entry.name, len(rank))):
        if _has_hangul(entry.fname):
            return entry.name
    return None


def _has_hangul(file: str) -> bool:
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(file)
    except (OSError, RuntimeError):  # gone since matplotlib listed it, or broken
        return False
    unassigned = 0x378  # only a font of last resort, all empty boxes, has a glyph for it
    return bool(font.get_char_index(ord("가"))) and not font.get_char_index(unassigned)
