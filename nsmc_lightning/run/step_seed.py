"""Random numbers that depend on the run's seed and the batch alone."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from nsmc_lightning.run.loop import number_logs_by_steps


class StepSeed(Callback):
    """Seed torch before each training batch from the run's seed, the batch's number and the process.

    What draws random numbers in between (a validation, a loader, the start of a resumed run) then changes nothing: an
    interrupted run continues bit for bit as it would have. Logs are numbered by the optimizer's steps for the same
    reason.

    Args:
        seed: the run's.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        number_logs_by_steps(trainer)
        batch_number = trainer.current_epoch * int(trainer.num_training_batches) + batch_idx
        state = np.random.SeedSequence([self.seed, batch_number, trainer.global_rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0]) >> 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        number_logs_by_steps(trainer)
