"""last.ckpt: the checkpoint from which an interrupted run resumes."""

import time
from datetime import timedelta
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from nsmc_lightning.errors import UserError
from nsmc_lightning.run.loop import is_fit_validation, validation_may_follow
from nsmc_lightning.run.processes import Exchange


class SaveLast(ModelCheckpoint):
    """Write ``last.ckpt`` after each validation, after each epoch of a run without any, and every ``interval``.

    ModelCheckpoint contributes the folder. Its own ``save_last`` would keep the last checkpoint that was best, and its
    ``train_time_interval`` would make the devices wait after each step.

    Args:
        interval: time after which ``last.ckpt`` is written between validations.

    Attributes:
        path: where ``last.ckpt`` is; None before this run has written it.
    """

    def __init__(self, interval: timedelta) -> None:
        super().__init__(filename="last", monitor=None, enable_version_counter=False, every_n_epochs=0)
        self.path: str | None = None
        self._interval = interval.total_seconds()
        self._saved_at = 0.0

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore nothing: which file was the last one before does not matter."""

    def save(self, trainer: Trainer) -> None:
        """Write ``last.ckpt``, in all processes together; a trial run (``fast_dev_run``) writes none."""
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.path = self.format_checkpoint_name({})
            trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse validations within a step of several batches, and by the clocks of several processes.

        Raises:
            UserError: a validation's checkpoint would lack the gradients gathered so far, or processes would validate
                at different batches.
        """
        if trainer.val_check_batch is None and trainer.world_size > 1:
            raise UserError(
                f"trainer.val_check_interval {trainer.val_check_interval} is a time: several processes would validate "
                "after different batches, and wait for each other.\nGive it in batches."
            )
        batches = trainer.accumulate_grad_batches
        if trainer.limit_val_batches and not _validates_between_steps(trainer):
            raise UserError(
                f"trainer.val_check_interval {trainer.val_check_interval} would validate within a step of "
                f"trainer.accumulate_grad_batches {batches}, where a checkpoint loses gradients.\nGive an interval in "
                f"batches that is a multiple of {batches}, or leave it out to validate after each epoch."
            )
        self._exchange = Exchange(trainer)
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when ``interval`` is over and the step is complete.

        No file is written within a step of several batches, as its gradients would be lost; after a step that is
        logged, as Lightning logs it only after this hook; and before a validation, which would be logged twice.
        """
        gathering = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        to_be_logged = every > 1 and trainer.global_step % every == 0
        if gathering or to_be_logged or validation_may_follow(trainer):
            return
        if self._exchange.largest(int(time.monotonic() - self._saved_at >= self._interval)):  # by the fastest clock
            self.save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_fit_validation(trainer):
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save in a run without validations; in any other the epoch's metrics are not logged yet."""
        if not trainer.limit_val_batches:
            self.save(trainer)


def _validates_between_steps(trainer: Trainer) -> bool:
    batches, epoch = trainer.accumulate_grad_batches, int(trainer.num_training_batches)
    interval = trainer.val_check_batch
    if batches == 1:
        return True
    if interval is None:  # a time
        return False
    if trainer.check_val_every_n_epoch is None:  # counted across epochs, each of which ends with a step
        return interval % epoch == 0 or interval % batches == epoch % batches == 0
    return interval >= epoch or interval % batches == 0
