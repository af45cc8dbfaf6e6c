"""The last word of a command on the console: a table of what was reached, and what to type next."""

from collections.abc import Mapping

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from nsmc_lightning.callbacks.predictions import PredictionWriter
from nsmc_lightning.callbacks.throughput import Throughput
from nsmc_lightning.run.record import RunRecord
from nsmc_lightning.run.save_best import SaveBest
from nsmc_lightning.run.save_last import SaveLast

_ROWS = {  # of a metric: how it is called and written
    "accuracy": ("accuracy", "{:.4f}"),
    "f1": ("F1", "{:.4f}"),
    "precision": ("precision", "{:.4f}"),
    "recall": ("recall", "{:.4f}"),
    "loss": ("loss", "{:.4f}"),
    "reviews_per_second": ("reviews/s", "{:,.1f}"),
    "tokens_per_second": ("tokens/s", "{:,.0f}"),
    "wasted_tokens": ("padding among tokens", "{:.1%}"),
    "mfu": ("model FLOP utilisation", "{:.1%}"),
}


class Summary(Callback):
    """Prints a table at the end of ``fit``, ``validate`` and ``test``, and the commands that go on from there."""

    def __init__(
        self,
        record: RunRecord,
        throughput: Throughput,
        writer: PredictionWriter,
        best: SaveBest | None,
        last: SaveLast | None,
    ) -> None:
        self.console = Console()
        self.record = record
        self.throughput = throughput
        self.writer = writer
        self.best = best
        self.last = last

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Dev metrics of the best checkpoint, or else of the last one, and how to test it and look at it."""
        if not trainer.is_global_zero:
            return
        title, metrics, path = "last dev metrics", self.record.last, self.last.path if self.last is not None else None
        if self.best is not None and self.best.metrics:
            title, metrics, path = "best dev metrics", self.best.metrics, self.best.best_model_path
        self._print({title: _of("val", metrics), "training": _of("train", self.throughput.rates)})
        if path:
            self._say(f"checkpoint:  {path}")
            self._say(f"test it:     python -m nsmc_lightning test --ckpt_path {path}")
        if trainer.logger is not None and trainer.logger.save_dir is not None:
            self._say(f"see it:      tensorboard --logdir {trainer.logger.save_dir}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Dev metrics, for ``validate`` alone."""
        if trainer.is_global_zero and trainer.state.fn == "validate":
            self._print({"dev part": _of("val", trainer.callback_metrics)})

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Test metrics and where the predictions stand."""
        if trainer.is_global_zero:
            self._print({"test part": _of("test", trainer.callback_metrics)})
            self._say_predictions()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """How fast it went, and where the predictions stand."""
        if trainer.is_global_zero:
            self._print({"prediction": _of("predict", self.throughput.rates)})
            self._say_predictions()

    def _print(self, columns: dict[str, dict[str, float]]) -> None:
        """A row for each metric that some column has."""
        table = Table("", *columns)
        for name, (shown, form) in _ROWS.items():
            cells = [form.format(metrics[name]) if name in metrics else "" for metrics in columns.values()]
            if any(cells):
                table.add_row(shown, *cells)
        self.console.print(table)

    def _say_predictions(self) -> None:
        if self.writer.path is not None:
            self._say(f"predictions: {self.writer.path}")

    def _say(self, line: str) -> None:
        # Paths are to be copied: never wrapped, never coloured.
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)


def _of(stage: str, metrics: Mapping[str, float | Tensor]) -> dict[str, float]:
    """The stage's metrics, by their names without it."""
    prefix = f"{stage}/"
    return {name.removeprefix(prefix): float(value) for name, value in metrics.items() if name.startswith(prefix)}
