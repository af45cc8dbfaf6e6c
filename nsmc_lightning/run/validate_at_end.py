"""A validation after the last step of a run, whatever the interval between validations."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from nsmc_lightning.run.loop import EVERY_BATCH, set_validation_intervals, training_ends


class ValidateAtEnd(Callback):
    """Validate after a run's last batch, also where the trainer's intervals ask for no validation there.

    ``max_steps``, a time limit, ``check_val_every_n_epoch`` or ``val_check_interval`` may end training between two
    validations: the last steps would be in no checkpoint, and a short run would have no checkpoint at all. Callbacks
    that may stop training at a batch's end must come before this one.
    """

    def __init__(self) -> None:
        self._intervals: dict[str, Any] = {}  # the trainer's own, while others are set

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Request a validation where training ends."""
        if not self._intervals and training_ends(trainer):
            self._intervals = set_validation_intervals(trainer, EVERY_BATCH)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        set_validation_intervals(trainer, self._intervals)
        self._intervals = {}
