"""The processes of one run: numbers that they exchange, and the end of those that this one started."""

import subprocess
import time
from multiprocessing.process import BaseProcess

import torch
import torch.distributed
from lightning.pytorch import Trainer

from nsmc_lightning.run.loop import take_children


class Exchange:
    """Numbers exchanged between the CPUs of all processes, so that no device waits.

    All processes build one together, and call its methods together.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._group = torch.distributed.new_group(backend="gloo") if trainer.world_size > 1 else None

    def largest(self, number: int) -> int:
        """Return the largest of the processes' numbers."""
        if self._group is None:
            return number
        value = torch.tensor(number)
        torch.distributed.all_reduce(value, torch.distributed.ReduceOp.MAX, self._group)
        return int(value)

    def smallest(self, number: int) -> int:
        """Return the smallest of the processes' numbers."""
        return -self.largest(-number)


def end_children(trainer: Trainer, patience: float) -> None:
    """Wait ``patience`` seconds for the processes that this one started, then kill them: they would wait for it."""
    end = time.monotonic() + patience
    for child in take_children(trainer):
        if not _ended(child, max(0, end - time.monotonic())):
            child.kill()


def _ended(child: subprocess.Popen[bytes] | BaseProcess, seconds: float) -> bool:
    if isinstance(child, BaseProcess):
        child.join(seconds)
        return not child.is_alive()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
