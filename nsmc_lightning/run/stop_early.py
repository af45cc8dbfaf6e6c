"""Training ends when the dev metric stops improving, and a line tells why."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from nsmc_lightning.errors import report


class StopEarly(EarlyStopping):
    """Lightning's EarlyStopping with a line when it stops, and with the patience of the resumed run.

    Lightning's own restores the patience from the checkpoint, whatever the settings say.
    """

    @property
    def state_key(self) -> str:
        """EarlyStopping's key, which the checkpoints of earlier versions hold too."""
        return super().state_key.replace(type(self).__qualname__, EarlyStopping.__qualname__)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stopping = trainer.should_stop
        super().on_validation_end(trainer, pl_module)
        if trainer.should_stop and not stopping:
            report(
                f"stopped early in epoch {trainer.current_epoch + 1}: {self.wait_count} validations without a better "
                f"{self.monitor} (--early_stopping.patience {self.patience})."
            )
