"""The last word of a command on the console: a table of what was reached, and what to type next."""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from rich.console import Console
from rich.table import Table

from nsmc_lightning.callbacks.predictions import PredictionWriter
from nsmc_lightning.callbacks.record import RunRecord

_ROWS = {
    "accuracy": "accuracy",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "loss": "loss",
    "reviews_per_second": "reviews/s",
}


class Summary(Callback):
    """Prints a table at the end of ``fit``, ``validate`` and ``test``, and the commands that go on from there."""

    def __init__(self) -> None:
        self.console = Console()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Best dev metrics, the checkpoint, and how to test it and look at it."""
        record = next((c for c in trainer.callbacks if isinstance(c, RunRecord)), None)  # type: ignore[attr-defined]
        if not trainer.is_global_zero or record is None or not record.best:
            return
        self._print("best dev metrics", record.best, "val")
        checkpoint = trainer.checkpoint_callback
        if isinstance(checkpoint, ModelCheckpoint) and checkpoint.best_model_path:
            self._say(f"checkpoint:  {checkpoint.best_model_path}")
            self._say(f"test it:     python -m nsmc_lightning test --ckpt_path {checkpoint.best_model_path}")
        if trainer.logger is not None and trainer.logger.save_dir is not None:
            self._say(f"see it:      tensorboard --logdir {trainer.logger.save_dir}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Dev metrics, for ``validate`` alone."""
        if trainer.is_global_zero and trainer.state.fn == "validate":
            self._print("dev part", {n: float(v) for n, v in trainer.callback_metrics.items()}, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Test metrics and where the predictions stand."""
        if trainer.is_global_zero:
            self._print("test part", {n: float(v) for n, v in trainer.callback_metrics.items()}, "test")
            self._say_predictions(trainer)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Where the predictions stand."""
        if trainer.is_global_zero:
            self._say_predictions(trainer)

    def _print(self, title: str, metrics: dict[str, float], stage: str) -> None:
        table = Table("", title, title_justify="left")
        for name, shown in _ROWS.items():
            value = metrics.get(f"{stage}/{name}")
            if value is not None:
                table.add_row(shown, f"{value:,.1f}" if name == "reviews_per_second" else f"{value:.4f}")
        self.console.print(table)

    def _say_predictions(self, trainer: Trainer) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, PredictionWriter) and callback.path is not None:
                self._say(f"predictions: {callback.path}")

    def _say(self, line: str) -> None:
        # Paths are to be copied: never wrapped, never coloured.
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)
