"""DataLoaders over samplers that yield whole batches, and the signals of their worker processes."""

import os
import signal
import sys
import threading

import torch
from torch.utils.data import DataLoader, Sampler

from nsmc_lightning.data.batch import ReviewDataset
from nsmc_lightning.types import Batch


def build_loader(dataset: ReviewDataset, sampler: Sampler[list[int]], num_workers: int) -> DataLoader[Batch]:
    """Build the loader of the batches whose rows ``sampler`` yields."""
    return DataLoader(
        dataset,
        batch_size=None,  # the sampler yields whole batches
        sampler=sampler,
        num_workers=num_workers,
        worker_init_fn=_exit_with_trainer_only,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


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
