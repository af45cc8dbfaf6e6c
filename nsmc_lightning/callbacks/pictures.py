"""Figures for TensorBoard: the lengths of the texts, and which classes are predicted for which."""

from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from nsmc_lightning.callbacks.figures import draw_confusion, draw_lengths
from nsmc_lightning.run.loop import number_of_logs

# torchmetrics takes seconds to import, and only a run needs it: it is imported inside a function.
if TYPE_CHECKING:
    from torchmetrics.classification import MulticlassConfusionMatrix


# Curves that belong together, for the tab "Custom scalars".
_LAYOUT = {
    "curves": {
        "loss": ["Multiline", ["train/loss", "val/loss", "test/loss"]],
        **{name: ["Multiline", [f"{part}/{name}" for part in ("train", "val", "test")]] for name in ("accuracy", "f1")},
        "learning rate": ["Multiline", ["lr-.*"]],
        "calibration error": ["Multiline", ["val/calibration_error", "val/calibration_error_after"]],
    }
}


class Pictures(Callback):
    """Log figures to TensorBoard; do nothing where no logger is a TensorBoardLogger.

    When training starts, it also lays out the curves of the tab "Custom scalars".

    * ``train/lengths`` when training starts: characters and tokens of the training texts, and what is cut off.
    * ``val/confusion_matrix`` after each validation, ``test/confusion_matrix`` after a test: over all processes.
    """

    def __init__(self) -> None:
        self._confusion: MulticlassConfusionMatrix | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        logger = tensorboard(trainer)
        if logger is None or not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        part = data.encoded["train"]
        figure = draw_lengths(part.characters, part.reviews.full_lengths, data.max_length)
        logger.experiment.add_figure("train/lengths", figure, trainer.global_step)
        logger.experiment.add_custom_scalars(_LAYOUT)

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
        if trainer.sanity_checking or dataloader_idx > 0 or tensorboard(trainer) is None:
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
        logger = tensorboard(trainer)
        if self._confusion is None or logger is None:
            return
        matrix = self._confusion.compute().cpu().numpy()  # on every process: it adds up their counts
        self._confusion = None
        if trainer.is_global_zero:
            names = trainer.datamodule.corpus.label_names  # type: ignore[attr-defined]
            logger.experiment.add_figure(tag, draw_confusion(matrix, names), number_of_logs(trainer))


def tensorboard(trainer: Trainer) -> TensorBoardLogger | None:
    """Return the logger to TensorBoard; None where there is none."""
    return next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)


def _new_confusion(classes: int) -> "MulticlassConfusionMatrix":
    from torchmetrics.classification import MulticlassConfusionMatrix

    # To check the values, the processor would wait for the accelerator at every batch.
    return MulticlassConfusionMatrix(classes, validate_args=False)
