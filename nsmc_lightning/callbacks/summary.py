"""What a command prints at its end: a table of the metrics, and the commands that come next."""

import math
import shlex
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.table import Table
from torch import Tensor

from nsmc_lightning.callbacks.predictions import PredictionWriter
from nsmc_lightning.callbacks.test_report import TestReport
from nsmc_lightning.callbacks.throughput import Throughput
from nsmc_lightning.run.record import RunRecord
from nsmc_lightning.run.save_best import SaveBest
from nsmc_lightning.run.save_last import SaveLast

_ROWS = {  # by metric: title and format
    "rows": ("rows", "{:,.0f}"),
    "accuracy": ("accuracy", "{:.4f}"),
    "standard_error": ("standard error of accuracy", "{:.4f}"),
    "f1": ("F1", "{:.4f}"),
    "precision": ("precision", "{:.4f}"),
    "recall": ("recall", "{:.4f}"),
    "loss": ("loss", "{:.4f}"),
    "calibration_error": ("calibration error", "{:.4f}"),
    "calibration_error_after": ("calibration error, calibrated", "{:.4f}"),
    "temperature": ("temperature", "{:.3f}"),
    "perplexity": ("perplexity", "{:.2f}"),
    "rating_loss": ("loss of the ratings", "{:.4f}"),
    "reviews_per_second": ("reviews/s", "{:,.1f}"),
    "tokens_per_second": ("tokens/s", "{:,.0f}"),
    "wasted_tokens": ("padding among tokens", "{:.1%}"),
    "mfu": ("model FLOP utilisation", "{:.1%}"),
}
_REPORTED = {"accuracy", "f1", "precision", "recall"}  # in the test report


class Summary(Callback):
    """Print the metrics at the end of a command, and the commands that use its results."""

    def __init__(
        self,
        record: RunRecord,
        throughput: Throughput,
        writer: PredictionWriter,
        report: TestReport,
        best: SaveBest | None,
        last: SaveLast | None,
    ) -> None:
        self.record = record
        self.throughput = throughput
        self.writer = writer
        self.report = report
        self.best = best
        self.last = last
        self._dev_rows = 0  # of the last validation, on all processes

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the dev metrics of the best checkpoint, or else of the last one, and how to test it and look at it."""
        if not trainer.is_global_zero:
            return
        which, metrics = self.record.reached
        print_table(
            {f"{which} dev metrics": self._of_dev(metrics), "training": of_stage("train", self.throughput.rates)}
        )
        if path := self._checkpoint(which):
            print_line(f"checkpoint:  {path}")
            print_line(f"test it:     python -m nsmc_lightning test --ckpt_path {shlex.quote(path)}")
        print_tensorboard(trainer)

    def _checkpoint(self, which: str) -> str | None:
        if which == "best" and self.best is not None:
            return self.best.best_model_path
        return self.last.path if self.last is not None else None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._dev_rows = 0

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._dev_rows += len(batch.rows)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        own = torch.tensor(self._dev_rows, device=pl_module.device)
        self._dev_rows = int(trainer.strategy.reduce(own, reduce_op="sum"))

    def _of_dev(self, metrics: Mapping[str, float | Tensor]) -> dict[str, float]:
        """Return the dev metrics with their number of rows, and the standard error that their accuracy has."""
        found = of_stage("val", metrics)
        if self._dev_rows and "accuracy" in found:
            found["rows"] = self._dev_rows
            found["standard_error"] = math.sqrt(found["accuracy"] * (1 - found["accuracy"]) / self._dev_rows)
        return found

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the dev metrics of ``validate``."""
        if trainer.is_global_zero and trainer.state.fn == "validate":
            print_table({"dev part": self._of_dev(trainer.callback_metrics)})

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the test metrics, without those that the report has, and where report and predictions are."""
        if not trainer.is_global_zero:
            return
        metrics = of_stage("test", trainer.callback_metrics)
        if self.report.path is None:
            print_table({"test part": metrics})
        else:
            print_line(in_a_line({name: value for name, value in metrics.items() if name not in _REPORTED}))
            print_line(f"report:      {self.report.path}")
        self._print_predictions()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the speed of prediction and where the predictions are."""
        if trainer.is_global_zero:
            print_table({"prediction": of_stage("predict", self.throughput.rates)})
            self._print_predictions()

    def _print_predictions(self) -> None:
        if self.writer.path is not None:
            print_line(f"predictions: {self.writer.path}")


def in_a_line(metrics: Mapping[str, float]) -> str:
    """Return the metrics as one line."""
    found = ((title, form.format(metrics[name])) for name, (title, form) in _ROWS.items() if name in metrics)
    return ", ".join(f"{title} {value}" for title, value in found)


def print_table(columns: dict[str, dict[str, float]]) -> None:
    """Print a row for each metric that any column has."""
    table = Table("", *columns)
    for name, (title, form) in _ROWS.items():
        cells = [form.format(metrics[name]) if name in metrics else "" for metrics in columns.values()]
        if any(cells):
            table.add_row(title, *cells)
    Console().print(table)


def print_tensorboard(trainer: Trainer) -> None:
    """Print the command that shows the logs, where TensorBoard can."""
    if logger := next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None):
        print_line(f"see it:      tensorboard --logdir {shlex.quote(str(logger.save_dir))}")


def print_line(line: str) -> None:
    """Print a line that may hold a path to be copied: no wrapping, no colours."""
    Console().print(line, soft_wrap=True, highlight=False, markup=False)


def of_stage(stage: str, metrics: Mapping[str, float | Tensor]) -> dict[str, float]:
    """Return the stage's metrics, by their names without its prefix."""
    prefix = f"{stage}/"
    return {name.removeprefix(prefix): float(value) for name, value in metrics.items() if name.startswith(prefix)}
