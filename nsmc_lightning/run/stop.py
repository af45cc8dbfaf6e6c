"""A signal stops a run after its step, with a checkpoint, closed logs and an exit code that names the signal."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from nsmc_lightning.run.loop import (
    is_fit_validation,
    restart_validation,
    started_by_lightning,
    training_ends,
    validation_may_follow,
)
from nsmc_lightning.run.processes import Exchange, end_children
from nsmc_lightning.run.save_last import SaveLast

# SIGUSR1 is what SLURM is usually told to send before a job's end (sbatch --signal); Windows has none.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
_PATIENCE = 30.0  # seconds for the other processes of a stopped run to close their files


class Stopped(SystemExit):
    """A signal stopped the run; the exit code is 128 plus its number, as in a shell.

    Args:
        signum: the signal's number.
        checkpoint: file to resume from; None where nothing was saved.
    """

    def __init__(self, signum: int, checkpoint: str | None = None) -> None:
        super().__init__(128 + signum)
        self.signal = signal.Signals(signum)
        self.checkpoint = checkpoint


class GracefulStop(Callback):
    """Stop training after the step, or the batch of validation, in which any process receives a signal.

    All processes stop at the same batch: they tell each other of a signal after each one. Where a signal interrupts a
    validation, the checkpoint is one from before its first batch, and the resumed run measures the whole dev part. A
    run's last validation is not interrupted, as the run ends with it.

    Args:
        last: the callback that writes ``last.ckpt``; None for a run without checkpoints.
        command: that trains, to be named with the checkpoint to resume from.
    """

    def __init__(self, last: SaveLast | None, command: str = "fit") -> None:
        self._command = command
        self.signal = 0  # the first one received
        self._last = last
        self._deferred = False  # whether a signal waits for the end of a batch
        self._parent: int | None = None  # the process that handles this one's signals
        self._val_batches = 0  # that every process has
        self._validates_last = False  # whether the run ends with the current validation
        self._stopped: Stopped | None = None  # saved, and to be raised

    @contextmanager
    def watching(self, trainer: Trainer, training: bool) -> Iterator[None]:
        """Handle this process's signals while the trainer runs, and leave no process of the run behind.

        Raises:
            Stopped: on a signal; at once where there is nothing to finish.
        """
        # Of several processes that are about to train, one that ends alone would leave the others waiting for it.
        self._deferred = training and trainer.world_size > 1
        self._parent = os.getppid() if not training and started_by_lightning(trainer) else None
        before = {signum: signal.signal(signum, self._receive) for signum in _SIGNALS}
        try:
            yield
        except BaseException as error:
            in_order = training and isinstance(error, Stopped)
            end_children(trainer, patience=_PATIENCE if in_order else 0)
            if isinstance(error, Stopped) and trainer.is_global_zero:
                print(_how_to_resume(error, trainer.global_step, self._command), file=sys.stderr, flush=True)
            if in_order and started_by_lightning(trainer):
                raise SystemExit(0) from None  # at any other code the first process would be killed
            raise
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the next one ends the process, also where Python does not listen
        if self.signal:
            return
        self.signal = signum
        if self._parent is not None and self._parent == os.getppid():
            os.kill(self._parent, signum)  # ends both; the others would wait for one that ended alone
            return
        if not self._deferred:
            raise Stopped(signum)
        self._announce()

    def _announce(self) -> None:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # not print(), which the signal may have interrupted
            plan = "finishing the last validation" if self._validates_last else "stopping after this step"
            os.write(2, f"{signal.Signals(self.signal).name}: {plan}; Ctrl-C stops at once.\n".encode())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let signals wait for the end of a batch: from now on there is something to save."""
        self._deferred = True
        self._exchange = Exchange(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save after a step; where a validation follows, stop within that, or it would never be run."""
        signum = self._exchange.largest(self.signal)
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if signum and stepped and not validation_may_follow(trainer):
            self._stopped = self._save(trainer, signum)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop the run: Lightning has by now logged the step that was saved."""
        if self._stopped is not None:
            raise self._stopped

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out how many batches every process has: one may have one more."""
        if is_fit_validation(trainer):
            self._validates_last = training_ends(trainer)
            if self.signal and self._validates_last:
                self._announce()
            self._val_batches = self._exchange.smallest(int(sum(trainer.num_val_batches)))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop with a checkpoint from before the validation, unless it is the last one."""
        if not is_fit_validation(trainer) or batch_idx >= self._val_batches or self._validates_last:
            return
        if signum := self._exchange.largest(self.signal):
            restart_validation(trainer)
            raise self._save(trainer, signum)

    def _save(self, trainer: Trainer, signum: int) -> Stopped:
        if self._last is None:
            return Stopped(signum)
        self._last.save(trainer)
        return Stopped(signum, self._last.path)


def _how_to_resume(stopped: Stopped, step: int, command: str) -> str:
    if stopped.checkpoint is None:
        return f"stopped by {stopped.signal.name}; nothing was saved."
    line = f"python -m nsmc_lightning {command} --ckpt_path {shlex.quote(stopped.checkpoint)}"
    return f"stopped by {stopped.signal.name} after step {step}; resume with:\n  {line}"
