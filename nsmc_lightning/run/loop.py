"""The insides of Lightning that the callbacks need and nothing public offers, read in lightning 2.6.6."""

from __future__ import annotations

import subprocess
from multiprocessing.process import BaseProcess
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

EVERY_BATCH = {"check_val_every_n_epoch": 1, "val_check_batch": 1, "_val_check_time_interval": None}
"""Trainer attributes with which a validation follows every batch: every epoch, every batch of it, by no clock."""


# Steps and validations


def number_logs_by_steps(trainer: Trainer) -> None:
    """Give what is logged next the number of optimizer steps taken.

    Lightning keeps a count of its own for that, and loses a step where a run resumes at an epoch's end or after a
    validation that its settings no longer ask for.
    """
    number_logs_from(trainer, trainer.global_step)


def number_logs_from(trainer: Trainer, step: int) -> None:
    """Give what is logged next a number; in evaluation, Lightning's is 0 whatever the checkpoint's steps."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = step


def number_of_logs(trainer: Trainer) -> int:
    """Return the number that is given to what is logged next."""
    return trainer.fit_loop.epoch_loop._batches_that_stepped if trainer.state.fn != "fit" else trainer.global_step


def is_fit_validation(trainer: Trainer) -> bool:
    """Return whether a validation belongs to ``fit`` and is not its sanity check."""
    return trainer.state.fn == "fit" and not trainer.sanity_checking


def training_ends(trainer: Trainer) -> bool:
    """Return whether training ends with the current batch, or with the validation after it."""
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return True
    epochs = trainer.current_epoch + int(trainer.is_last_batch)
    if trainer.should_stop:
        return epochs >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
    return trainer.max_epochs not in (None, -1) and epochs >= trainer.max_epochs


def validation_may_follow(trainer: Trainer) -> bool:
    """Return whether a validation or the end of an epoch follows the current batch.

    A validation by the clock is not foreseen.
    """
    if trainer.is_last_batch or training_ends(trainer):
        return True
    interval = trainer.val_check_batch
    if interval is None or interval == float("inf"):
        return False
    loop = trainer.fit_loop.epoch_loop
    batch = loop.total_batch_idx if trainer.check_val_every_n_epoch is None else loop.batch_idx
    return (batch + 1) % interval == 0


def set_validation_intervals(trainer: Trainer, intervals: dict[str, Any]) -> dict[str, Any]:
    """Set when the trainer validates, for example :data:`EVERY_BATCH`; return what was set before."""
    before = {name: getattr(trainer, name) for name in intervals}
    for name, value in intervals.items():
        setattr(trainer, name, value)
    return before


def restart_validation(trainer: Trainer) -> None:
    """Have a checkpoint of this moment resume with the first batch of the current validation."""
    progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
    progress.reset()
    progress.total.ready = progress.total.started = 1  # type: ignore[attr-defined]  # begun, and no batch done


# Processes and signals


class _NoSignals(_SignalConnector):
    def register_signal_handlers(self) -> None:
        pass


def remove_signal_handlers(trainer: Trainer) -> None:
    """Keep the trainer from handling signals.

    Lightning's handler of SIGTERM talks to the other processes from within the handler, which hangs where they are busy
    with something else, and then ends the run with code 0 and without a checkpoint.
    """
    trainer._signal_connector = _NoSignals(trainer)


def take_children(trainer: Trainer) -> list[subprocess.Popen[bytes] | BaseProcess]:
    """Return the processes that the trainer started, and end its watch over them.

    The watch would kill this process when a child ends with an exit code other than 0. Strategies that fork have
    multiprocessing's processes, all others subprocess's.
    """
    started = getattr(trainer.strategy.launcher, "procs", [])
    children = list(started)
    started.clear()
    return children


def started_by_lightning(trainer: Trainer) -> bool:
    """Return whether another process of this run started this one, rather than a cluster's launcher or a user."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return trainer.local_rank > 0 and isinstance(environment, LightningEnvironment)


# Checkpoints


class HookedCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint with a hook before each file that it writes."""

    def before_save(self, trainer: Trainer, path: str) -> None:
        """Prepare for a checkpoint that is about to be written to ``path``; it will hold this callback's state."""

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        self.before_save(trainer, filepath)
        super()._save_checkpoint(trainer, filepath)
