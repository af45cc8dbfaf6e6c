"""Progress without a terminal: a line for each tenth of the way, and one for each validation."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.trainer.states import TrainerFn

from nsmc_lightning.callbacks.throughput import RATES
from nsmc_lightning.run.loop import is_fit_validation

# The trainer's number of batches, by the command that it runs.
_TOTALS = {
    TrainerFn.VALIDATING: "num_val_batches",
    TrainerFn.TESTING: "num_test_batches",
    TrainerFn.PREDICTING: "num_predict_batches",
}


class ProgressLines(ProgressBar):
    """Print a line to standard error for each 10 % of an epoch: batches done, time elapsed and remaining.

    A validation within ``fit`` prints the last batch's training loss and the dev metrics at its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started = 0.0
        self._batches = 0  # since then; a run that resumes within an epoch has done others before
        self._tenths = 0
        self._enabled = True

    def disable(self) -> None:
        """Print nothing; Lightning calls this on every process but the first."""
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def _start(self) -> None:
        self._started = time.monotonic()
        self._batches = self._tenths = 0

    def _advance(self, what: str, done: int, total: float) -> None:
        if not self._enabled or total in (0, float("inf")):
            return
        self._batches += 1
        tenths = int(done * 10 // total)
        if tenths == self._tenths:
            return
        self._tenths = tenths
        elapsed = time.monotonic() - self._started
        remaining = elapsed / self._batches * (total - done)
        line = f"{what}: {100 * done / total:3.0f} %  {done}/{int(total)} batches"
        print(f"{line}  {_clock(elapsed)} elapsed, {_clock(remaining)} remaining", file=sys.stderr, flush=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, also of a run that resumes within an epoch and so has no start of one."""
        self._start()

    on_train_epoch_start = on_test_epoch_start = on_predict_epoch_start = on_train_start

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        epoch = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
        self._advance(f"epoch {epoch}", batch_idx + 1, trainer.num_training_batches)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._start()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Advance the command's own batches; those of a validation within ``fit`` are not."""
        command = trainer.state.fn
        if command in _TOTALS:
            self._advance(command.value, batch_idx + 1, getattr(trainer, _TOTALS[command])[dataloader_idx])

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the metrics of a validation within ``fit``."""
        if not is_fit_validation(trainer):
            return
        metrics = trainer.callback_metrics  # on every process, which may have to add them up
        names = [name for name in metrics if name.startswith("val/") and name.removeprefix("val/") not in RATES]
        shown = [f"{name} {float(metrics[name]):.4f}" for name in ("train/loss", *names) if name in metrics]
        if self._enabled:
            step = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}, step {trainer.global_step}"
            print(f"{step}: {', '.join(shown)}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
