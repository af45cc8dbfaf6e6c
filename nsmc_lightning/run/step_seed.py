"""Random numbers of a step follow from the run's seed and the step alone."""

import os
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class StepSeed(Callback):
    """Seeds dropout anew at each batch, from the run's seed, the batch's number and the process.

    What else draws random numbers in between (a validation, a loader, a run that starts again) changes nothing then: a
    run that was interrupted goes on bit for bit as it would have.
    """

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seeds torch's generators."""
        number = trainer.current_epoch * int(trainer.num_training_batches) + batch_idx
        key = [int(os.environ.get("PL_GLOBAL_SEED", "0")), number, trainer.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1)
