"""A last validation where ``max_steps`` ends training within an epoch."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class ValidateAtMaxSteps(Callback):
    """Asks the trainer to stop at the last step, which validates first; left alone it ends with no dev metrics at all,
    and so with no best checkpoint."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks whether this was the last step."""
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True
