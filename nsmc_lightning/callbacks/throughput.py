"""How many reviews a second went through."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Logs ``<stage>/reviews_per_second`` once an epoch of training, validation and test, over all processes."""

    def __init__(self) -> None:
        self._reviews: dict[str, int] = {}
        self._started: dict[str, float] = {}

    def _start(self, stage: str) -> None:
        self._reviews[stage] = 0
        self._started[stage] = time.perf_counter()

    def _log(self, pl_module: LightningModule, stage: str) -> None:
        rate = self._reviews[stage] / (time.perf_counter() - self._started[stage])
        # Each process counts its own reviews: their sum is the rate of all.
        pl_module.log(
            f"{stage}/reviews_per_second", rate, on_step=False, on_epoch=True, reduce_fx="sum", sync_dist=True
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock; a run that goes on within an epoch has no start of one."""
        self._start("train")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._start("train")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts a batch."""
        self._reviews["train"] += len(batch.rows)
        if batch_idx + 1 == trainer.num_training_batches:  # before the validation that ends the epoch
            self._log(pl_module, "train")

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._start("val")

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
        self._reviews["val"] += len(batch.rows)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the rate."""
        self._log(pl_module, "val")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._start("test")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Counts a batch."""
        self._reviews["test"] += len(batch.rows)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the rate."""
        self._log(pl_module, "test")
