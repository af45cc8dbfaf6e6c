"""last.ckpt: where a run that ends, whatever ends it, can go on."""

import time
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from nsmc_lightning.errors import UserError
from nsmc_lightning.run.stop import validation_follows


class SaveLast(ModelCheckpoint):
    """Writes ``last.ckpt`` after each validation, or each epoch that has none, and when so much time has gone by.

    ModelCheckpoint's own ``save_last`` would keep the last one that was best, not the last.

    Args:
        interval: the time.
    """

    def __init__(self, interval: timedelta) -> None:
        super().__init__(filename="last", monitor=None, enable_version_counter=False, every_n_epochs=0)
        self._interval = interval.total_seconds()
        self._saved_at = 0.0
        self._group: Any = None

    @property
    def path(self) -> str:
        """Where ``last.ckpt`` is; empty before it is written."""
        return self._last_checkpoint_saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes nothing over: the next ``last.ckpt`` is compared with none before it."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses validations within a step of several batches, and by the clocks of several processes.

        Raises:
            UserError: a run could not go on from such a checkpoint: it has none of the gradients gathered so far.
        """
        super().on_train_start(trainer, pl_module)
        if trainer.val_check_batch is None and trainer.world_size > 1:  # their clocks differ, and no word is exchanged
            raise UserError(
                f"trainer.val_check_interval {trainer.val_check_interval} is a time: processes would validate after "
                "different batches, and wait for each other.\nGive it in batches."
            )
        batches = trainer.accumulate_grad_batches
        if trainer.limit_val_batches and not _validates_between_steps(trainer):
            raise UserError(
                f"trainer.val_check_interval {trainer.val_check_interval} would validate within a step of "
                f"trainer.accumulate_grad_batches {batches}, where a checkpoint loses gradients.\nGive an interval in "
                f"batches that is a multiple of {batches}, or leave it out to validate after each epoch."
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when it is time and nothing is pending.

        Within a step of several batches the gradients gathered so far would be lost; behind a step that is logged its
        numbers, which Lightning writes only after this hook; ahead of a validation that would be logged twice.
        """
        gathering = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        to_be_logged = every > 1 and trainer.global_step % every == 0
        if not gathering and not to_be_logged and not validation_follows(trainer, batch_idx):
            self._save_in_time(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves."""
        self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves in a run without validations; in any other the epoch's metrics are still to be logged."""
        if not trainer.limit_val_batches:
            self._save(trainer)

    def _save_in_time(self, trainer: Trainer) -> None:
        """Saves when it is time by the first process's clock; ModelCheckpoint's own way would wait for the devices."""
        due = torch.tensor(time.monotonic() - self._saved_at >= self._interval)
        if self._group is not None:
            torch.distributed.broadcast(due, src=0, group=self._group)
        if due:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        self._saved_at = time.monotonic()
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))


def _validates_between_steps(trainer: Trainer) -> bool:
    batches, epoch = trainer.accumulate_grad_batches, int(trainer.num_training_batches)
    interval = trainer.val_check_batch
    if batches == 1:
        return True
    if interval is None:  # a time
        return False
    if trainer.check_val_every_n_epoch is None:  # counted on from epoch to epoch, at the end of which there is a step
        return interval % epoch == 0 or interval % batches == epoch % batches == 0
    return interval >= epoch or interval % batches == 0
