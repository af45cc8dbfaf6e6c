"""Pictures in TensorBoard: lengths of the training texts, confusion matrices of dev and test."""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torchmetrics.classification import MulticlassConfusionMatrix

if TYPE_CHECKING:  # matplotlib is imported where something is drawn
    from matplotlib.figure import Figure

_HANGUL_FONTS = ("NanumGothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "AppleGothic", "UnDotum")


class Pictures(Callback):
    """Draws to TensorBoard; without a TensorBoardLogger it does nothing.

    ``train/lengths``: histograms of characters and tokens, with the share of texts that ``max_length`` cuts.
    ``val/confusion_matrix``, ``test/confusion_matrix``: counts and shares of each true class.
    """

    def __init__(self) -> None:
        self._matrix: MulticlassConfusionMatrix | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the lengths."""
        logger = _tensorboard(trainer)
        if logger is None or not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        characters = data.rows["train"]["text"].str.len().to_numpy()
        figure = draw_lengths(characters, data.data["train"].encoded.full_lengths, data.max_length)
        logger.experiment.add_figure("train/lengths", figure, trainer.global_step)

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
        if _tensorboard(trainer) is None:
            return
        if self._matrix is None:
            self._matrix = MulticlassConfusionMatrix(outputs.probabilities.shape[1]).to(pl_module.device)
        self._matrix.update(outputs.probabilities.argmax(dim=1), batch.labels)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the dev part's matrix."""
        self._draw_matrix(trainer, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the test part's matrix."""
        self._draw_matrix(trainer, "test")

    def _draw_matrix(self, trainer: Trainer, stage: str) -> None:
        if self._matrix is None:
            return
        counts = self._matrix.compute().cpu().numpy()  # on every process: it adds up theirs
        self._matrix = None
        logger = _tensorboard(trainer)
        if logger is None or not trainer.is_global_zero or trainer.sanity_checking:
            return
        names = trainer.datamodule.corpus.label_names  # type: ignore[attr-defined]
        logger.experiment.add_figure(f"{stage}/confusion_matrix", draw_confusion(counts, names), trainer.global_step)


def _tensorboard(trainer: Trainer) -> TensorBoardLogger | None:
    return next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)


def draw_lengths(characters: np.ndarray, tokens: np.ndarray, max_length: int) -> "Figure":
    """Histograms of the lengths of N texts.

    *Shape:* ``characters`` and ``tokens`` integer (N,), tokens before truncation and with special tokens.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, lengths, unit in ((left, characters, "characters"), (right, tokens, "tokens")):
        # The longest hundredth would squeeze all others into a corner: it is counted in the last bar.
        edge = max(int(np.percentile(lengths, 99)), 1)
        axes.hist(np.minimum(lengths, edge), bins=min(60, edge), color="#4472a8")
        axes.set(xlabel=f"{unit} (last bar: {edge} and more)", ylabel="texts")
        axes.set_title(f"median {np.median(lengths):.0f}, 99 % up to {edge}, longest {lengths.max()}")
    cut = float((tokens > max_length).mean())
    if max_length <= right.get_xlim()[1]:
        right.axvline(max_length, color="#c0392b", linestyle="--")
    figure.suptitle(f"{len(tokens):,} training texts; max_length {max_length} cuts {cut:.2%} of them")
    return figure


def draw_confusion(counts: np.ndarray, names: list[str]) -> "Figure":
    """A confusion matrix with counts and shares of each true class.

    *Shape:* ``counts`` integer (classes, classes), rows are true classes.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown, font = _showable(names)
    with rc_context({"font.family": [font] if font else ["sans-serif"]}):
        size = 2.5 + 1.1 * len(names)
        figure = Figure(figsize=(size + 0.8, size), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        places = range(len(names))
        axes.set(xlabel="predicted", ylabel="true", yticks=places, yticklabels=shown)
        axes.set_xticks(places, shown, rotation=30 if len(names) > 3 else 0)
        for i in places:
            for j in places:
                colour = "white" if shares[i, j] > 0.5 else "black"
                axes.text(j, i, f"{counts[i, j]:,}\n{shares[i, j]:.1%}", ha="center", va="center", color=colour)
        axes.set_title(f"{counts.sum():,} texts, {np.trace(counts) / max(counts.sum(), 1):.2%} right")
        figure.canvas.draw()  # while the font is set
    return figure


def _showable(names: list[str]) -> tuple[list[str], str | None]:
    """Names as they can be drawn, and the font for it: classes by number where no font has Hangul, never boxes."""
    if all(name.isascii() for name in names):
        return names, None
    font = _hangul_font()
    if font is not None:
        return names, font
    return [name if name.isascii() else f"class {i}" for i, name in enumerate(names)], None


def _hangul_font() -> str | None:
    """Name of an installed font with the glyph 가: a usual one, or else any."""
    from matplotlib import font_manager

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    fonts = sorted(font_manager.fontManager.ttflist, key=lambda font: font.name not in _HANGUL_FONTS)
    for font in fonts:
        try:
            if ord("가") in font_manager.get_font(font.fname).get_charmap():
                return font.name
        except (OSError, RuntimeError):  # listed once, gone or broken now
            continue
    return None
