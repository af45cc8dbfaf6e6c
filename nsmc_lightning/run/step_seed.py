"""Random numbers of a step follow from the run's seed and the step alone."""

import os
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class StepSeed(Callback):
    """Numbers the steps as they are taken, and seeds dropout.

    Dropout is seeded anew at each batch, from the run's seed, the batch's number and the process.

    What else draws random numbers in between (a validation, a loader, a run that starts again) changes nothing then: a
    run that was interrupted goes on bit for bit as it would have.
    """

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seeds torch's generators."""
        # Lightning loses a step here where it resumes after a validation that its settings no longer have due: loggers
        # would number all that follows one too low.
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
        number = trainer.current_epoch * int(trainer.num_training_batches) + batch_idx
        key = [int(os.environ.get("PL_GLOBAL_SEED", "0")), number, trainer.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1)
