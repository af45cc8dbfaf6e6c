"""A trainer's samplers, DataLoaders over whole batches, and the signals of their worker processes."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, Dataset, Sampler

from nsmc_lightning.data.batch import ReviewDataset
from nsmc_lightning.data.sampler import EvalSampler, LengthGroupedSampler, StratifiedSampler, TrainSampler
from nsmc_lightning.errors import UserError
from nsmc_lightning.types import Batch

_B = TypeVar("_B")


def build_train_sampler(lengths: np.ndarray, batch_size: int, packs: bool, trainer: Trainer) -> TrainSampler:
    """Build the sampler of a trainer's process, for rows that are packed or padded."""
    return (StratifiedSampler if packs else LengthGroupedSampler)(
        lengths,
        batch_size,
        seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # set by seed_everything, read by Lightning's samplers too
        rank=trainer.global_rank,
        world_size=trainer.world_size,
    )


def build_loader(dataset: Dataset[_B], sampler: Sampler[Any], num_workers: int) -> DataLoader[_B]:
    """Build the loader of the batches that ``dataset`` has for what ``sampler`` yields."""
    return DataLoader(
        dataset,
        batch_size=None,  # the sampler yields whole batches
        sampler=sampler,
        num_workers=num_workers,
        worker_init_fn=_exit_with_trainer_only,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def build_eval_loaders(
    datasets: Sequence[ReviewDataset], max_tokens: int, num_workers: int, trainer: Trainer
) -> list[DataLoader[Batch]]:
    """Build a trainer's loaders of datasets with the same rows, which put the same rows into each batch.

    Args:
        datasets: one, or several whose texts differ in length.
        max_tokens: token slots in a batch, of every dataset.
        num_workers: processes that build batches.
        trainer: its process gets its share of the rows.

    Raises:
        UserError: there are fewer rows than processes.
    """
    if len(datasets[0]) < trainer.world_size:
        raise UserError(f"{len(datasets[0])} rows for {trainer.world_size} processes: use fewer devices.")
    longest = np.max([dataset.encoded.lengths for dataset in datasets], axis=0)
    sampler = EvalSampler(longest, max_tokens, trainer.global_rank, trainer.world_size)
    return [build_loader(dataset, sampler, num_workers) for dataset in datasets]


def _exit_with_trainer_only(worker: int) -> None:
    """Make a worker process ignore signals that do not come from the trainer.

    A signal to the whole job is the trainer's to answer: a worker that died of it would end the run. The trainer itself
    ends its workers by a signal too, and would wait forever for one that ignored it.
    """
    if sys.platform == "linux":  # elsewhere the sender of a signal is unknown
        signals = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        threading.Thread(target=_exit_at_trainer_signal, args=(signals,), daemon=True).start()


def _exit_at_trainer_signal(signals: set[signal.Signals]) -> None:
    while signal.sigwaitinfo(signals).si_pid != os.getppid():
        pass
    os._exit(0)  # sys.exit would only end this thread
