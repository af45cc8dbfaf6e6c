"""Random numbers of a batch depend on the seed, the batch and the process alone."""

from types import SimpleNamespace
from typing import Any

import torch

from nsmc_lightning.run.step_seed import StepSeed


def draw(seed: int, epoch: int, batch: int, rank: int) -> float:
    """The first random number of a batch, after others were drawn."""
    loop = SimpleNamespace(epoch_loop=SimpleNamespace())
    trainer: Any = SimpleNamespace(
        current_epoch=epoch, num_training_batches=10, global_rank=rank, global_step=0, fit_loop=loop
    )
    torch.rand(batch + 1)
    module: Any = None
    StepSeed(seed).on_train_batch_start(trainer, module, None, batch)
    return torch.rand(()).item()


def test_random_numbers_follow_from_seed_batch_and_process() -> None:
    places = [(1, 0, 0, 0), (2, 0, 0, 0), (1, 0, 1, 0), (1, 1, 0, 0), (1, 0, 0, 1)]
    drawn = [draw(*place) for place in places]
    assert len(set(drawn)) == len(places)
    assert [draw(*place) for place in places] == drawn
