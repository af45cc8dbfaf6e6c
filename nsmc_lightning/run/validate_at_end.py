"""A validation after the last step of a run, whatever the interval between validations."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

# How a trainer notes that it validates after every batch: every epoch, every batch of it, and by no clock.
_EVERY_BATCH = {"check_val_every_n_epoch": 1, "val_check_batch": 1, "_val_check_time_interval": None}


class ValidateAtEnd(Callback):
    """Has the trainer validate after a run's last batch, also where no validation is due there.

    ``max_steps``, a time limit, ``check_val_every_n_epoch`` or ``val_check_interval`` may end training between two
    validations: the last steps would be in no checkpoint, and a short run would have no checkpoint at all. Has to come
    after callbacks that may stop training at a batch's end.
    """

    def __init__(self) -> None:
        self._intervals: dict[str, Any] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Makes a validation due where training ends."""
        if not self._intervals and ends(trainer):
            for name, every in _EVERY_BATCH.items():
                self._intervals[name] = getattr(trainer, name)
                setattr(trainer, name, every)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gives the trainer its own intervals back."""
        for name, interval in self._intervals.items():
            setattr(trainer, name, interval)
        self._intervals = {}


def ends(trainer: Trainer) -> bool:
    """Whether training ends with the batch at hand, or the validation after it."""
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return True
    epochs = trainer.current_epoch + int(trainer.fit_loop.epoch_loop.batch_progress.is_last_batch)
    if trainer.should_stop:
        least_epochs, least_steps = trainer.min_epochs or 0, trainer.min_steps or 0
        return epochs >= least_epochs and trainer.global_step >= least_steps
    return trainer.max_epochs not in (None, -1) and epochs >= trainer.max_epochs
