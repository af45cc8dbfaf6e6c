"""last.ckpt: where a run that ends, whatever ends it, can go on."""

from datetime import timedelta
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class SaveLast(ModelCheckpoint):
    """Writes ``last.ckpt`` after each validation, or, with ``interval``, when so much time has gone by.

    ModelCheckpoint's own ``save_last`` would keep the last one that was best, not the last.

    Args:
        interval: between two files; None is at validations only.
    """

    def __init__(self, interval: timedelta | None = None) -> None:
        super().__init__(filename="last", monitor=None, enable_version_counter=False, train_time_interval=interval)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves where nothing is pending.

        Within a step of several batches the gradients gathered so far would be lost, and behind a step that is logged
        its numbers, which Lightning writes only after this hook.
        """
        gathering = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        to_be_logged = every > 1 and trainer.global_step % every == 0
        if not gathering and not to_be_logged:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
