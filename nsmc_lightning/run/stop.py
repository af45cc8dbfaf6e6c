"""A signal ends a run after its step, with a checkpoint, closed logs and an exit code that says which signal it was."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

from nsmc_lightning.run.validate_at_end import ends

# SIGUSR1 is what SLURM is usually told to send ahead of a job's end (sbatch --signal); Windows has none.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
_PATIENCE = 30.0  # seconds for the other processes of a run that was stopped to close their files


class Stopped(SystemExit):
    """A run was stopped by a signal; the exit code is 128 + its number, as a shell would have it.

    Args:
        signum: the signal's number.
        checkpoint: what the run resumes from; None where nothing was saved.
    """

    def __init__(self, signum: int, checkpoint: Path | None = None) -> None:
        super().__init__(128 + signum)
        self.signal = signal.Signals(signum)
        self.checkpoint = checkpoint


class NoSignals(_SignalConnector):
    """Lightning's own signal handlers, left out.

    Its handler of SIGTERM talks to the other processes from within the handler, which hangs where they are doing
    something else, and then ends the run with code 0 and nothing saved.
    """

    def register_signal_handlers(self) -> None:
        """Registers nothing."""


class GracefulStop(Callback):
    """Stops training after the step, or the batch of validation, in which any of its processes got a signal.

    All processes stop at the same batch: they tell each other of a signal after each, over a connection between their
    CPUs, so that no device waits. Where a validation is cut short, the checkpoint is one from before its first batch:
    the run that resumes measures the whole dev part. A run's last validation is not cut short, as it ends the run.
    """

    def __init__(self) -> None:
        self.signal = 0  # the first that came
        self._deferred = False  # whether a signal waits for the end of a batch
        self._parent: int | None = None  # the process that answers this one's signals
        self._group: Any = None
        self._val_batches = 0  # that every process has
        self._stopped: Stopped | None = None  # saved, and to be raised

    @contextmanager
    def watching(self, trainer: Trainer, training: bool) -> Iterator[None]:
        """Takes the signals of this process while the trainer runs, and leaves no process of the run behind.

        Raises:
            Stopped: on a signal; at once where there is nothing to finish.
        """
        # Of several processes that are about to train, one that ends alone would leave the others waiting for it.
        self._deferred = training and trainer.world_size > 1
        self._parent = os.getppid() if not training and _started_by_lightning(trainer) else None
        before = {signum: signal.signal(signum, self._receive) for signum in _SIGNALS}
        try:
            yield
        except BaseException as error:
            in_order = training and isinstance(error, Stopped)
            _end_children(trainer, patience=_PATIENCE if in_order else 0)
            if isinstance(error, Stopped) and trainer.is_global_zero:
                print(_how_to_go_on(error, trainer.global_step), file=sys.stderr, flush=True)
            if in_order and _started_by_lightning(trainer):
                raise SystemExit(0) from None  # at any other code its watcher would kill the first process
            raise
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGINT:
            signal.signal(signum, signal.SIG_DFL)  # a second one ends the process, also where Python is not listening
        if self.signal:
            return
        self.signal = signum
        if self._parent is not None and self._parent == os.getppid():
            os.kill(self._parent, signum)  # ends both; ended alone, this one would be missed by the others
            return
        if not self._deferred:
            raise Stopped(signum)
        if os.environ.get("LOCAL_RANK", "0") == "0":  # print() may be what the signal came in upon
            os.write(2, f"{signal.Signals(signum).name}: stopping after this step; Ctrl-C stops at once.\n".encode())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on there is something to save."""
        self._deferred = True
        if trainer.world_size > 1:
            self._group = torch.distributed.new_group(backend="gloo")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stops after a step; where a validation follows, in that: cut off before it, it would never be run."""
        signum = self._agreed(trainer)
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if signum and stepped and not validation_follows(trainer, batch_idx):
            self._stopped = _save(trainer, signum)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Ends the run: only now has the step that was saved been logged too."""
        if self._stopped is not None:
            raise self._stopped

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Learns how many batches each process has: they may differ by one."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        count = torch.tensor(int(sum(trainer.num_val_batches)))
        if trainer.world_size > 1:
            torch.distributed.all_reduce(count, torch.distributed.ReduceOp.MIN, self._group)
        self._val_batches = int(count)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stops, with a checkpoint that stands before the validation."""
        if trainer.sanity_checking or trainer.state.fn != "fit" or batch_idx >= self._val_batches:
            return
        if ends(trainer):  # the run is over after this validation: Lightning would resume a finished run for nothing
            return
        if signum := self._agreed(trainer):
            progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
            progress.reset()
            progress.total.ready = progress.total.started = 1  # type: ignore[attr-defined]  # how Lightning notes "begun, and no batch done"
            raise _save(trainer, signum)

    def _agreed(self, trainer: Trainer) -> int:
        """The signal that any process got, the same in all of them; 0 for none."""
        if trainer.world_size == 1:
            return self.signal
        signum = torch.tensor(self.signal)
        torch.distributed.all_reduce(signum, torch.distributed.ReduceOp.MAX, self._group)
        return int(signum)


def _save(trainer: Trainer, signum: int) -> Stopped:
    path = _last_checkpoint(trainer)
    if path is not None:
        trainer.save_checkpoint(path)
    return Stopped(signum, path)


def validation_follows(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a validation may follow this batch; where it then does not, a later batch is the one to stop after."""
    loop = trainer.fit_loop.epoch_loop
    if loop.batch_progress.is_last_batch or trainer.should_stop:
        return True
    interval = trainer.val_check_batch
    if interval is None or interval == float("inf"):
        return False
    return ((loop.total_batch_idx if trainer.check_val_every_n_epoch is None else batch_idx) + 1) % interval == 0


def _last_checkpoint(trainer: Trainer) -> Path | None:
    """Where ``last.ckpt`` goes; None for a run that keeps no checkpoints."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.filename == "last" and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            assert callback.dirpath is not None
            return Path(callback.dirpath) / "last.ckpt"
    return None


def _end_children(trainer: Trainer, patience: float) -> None:
    """Waits ``patience`` seconds for the processes that this one started, then kills them: they would wait for it."""
    started = getattr(trainer.strategy.launcher, "procs", [])
    children = list(started)
    started.clear()  # Lightning's watcher would kill this process too when it sees a child's exit code
    end = time.monotonic() + patience
    for child in children:
        if not _ended(child, max(0, end - time.monotonic())):
            child.kill()


def _ended(child: subprocess.Popen[bytes] | BaseProcess, seconds: float) -> bool:
    """Whether a process is over by then; the strategies that spawn have multiprocessing's, the others Popen's."""
    if isinstance(child, BaseProcess):
        child.join(seconds)
        return not child.is_alive()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _started_by_lightning(trainer: Trainer) -> bool:
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return trainer.local_rank > 0 and isinstance(environment, LightningEnvironment)


def _how_to_go_on(stopped: Stopped, step: int) -> str:
    if stopped.checkpoint is None:
        return f"stopped by {stopped.signal.name}; nothing was saved."
    command = f"python -m nsmc_lightning fit --ckpt_path {stopped.checkpoint}"
    return f"stopped by {stopped.signal.name} after step {step}; resume with:\n  {command}"
