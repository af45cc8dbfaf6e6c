"""Rules on a run's settings that their types do not express, and settings that follow from others."""

import os
from datetime import timedelta

from jsonargparse import Namespace

from nsmc_lightning.errors import UserError
from nsmc_lightning.types import MEASURES

_MONITORS = tuple(f"val/{name}" for name in MEASURES)
_MOST_MINUTES = timedelta.max / timedelta(minutes=1)


def refuse_seed(seed: int | bool | None) -> None:
    """Refuse a seed that numpy's generators do not take; True draws one.

    Raises:
        UserError: it is negative or too large.
    """
    if seed is not None and not 0 <= seed < 2**32:
        raise UserError(f"seed_everything is {seed}: give a number from 0 to {2**32 - 1}.")


def refuse_spawning(strategy: str | Namespace) -> None:
    """Refuse strategies that send the trainer to the processes that they start: its loggers cannot be sent.

    Raises:
        UserError: it starts processes by spawn or forkserver.
    """
    key, start = "trainer.strategy", strategy
    if isinstance(strategy, Namespace):
        key, start = "trainer.strategy.start_method", strategy.get("init_args.start_method")
    if any(method in str(start) for method in ("spawn", "forkserver")):
        raise UserError(
            f"{key} {start}: the processes that it starts cannot be sent the trainer and its loggers.\n"
            "Give --trainer.strategy ddp, whose processes build their own."
        )


def refuse_contradictions(config: Namespace) -> None:
    """Refuse settings of ``fit`` that never end, train nothing, or keep another checkpoint than they name.

    Raises:
        UserError: with the key and what to give instead.
    """
    refuse_plan_faults(config)
    for key in ("checkpoint", "early_stopping"):
        _refuse_monitor(key, config[key].monitor, config[key].mode)
    _refuse_unmeasured(config)


def refuse_plan_faults(config: Namespace) -> None:
    """Refuse settings of training that never end or train nothing.

    Raises:
        UserError: with the key and what to give instead.
    """
    trainer = config.trainer
    if trainer.max_epochs in (None, -1) and trainer.max_steps == -1 and not trainer.fast_dev_run:
        raise UserError(
            "training needs an end to plan the learning rates for: give --trainer.max_epochs (2 to 4 are usual) or "
            "--trainer.max_steps, also with --trainer.max_time."
        )
    for key in ("max_epochs", "max_steps", "limit_train_batches"):
        if trainer[key] is not None and trainer[key] == 0:
            raise UserError(f"trainer.{key} is 0: nothing would be trained; leave it out, or give a larger number.")
    if trainer.overfit_batches:  # Lightning would draw single reviews in order, in place of our batches
        raise UserError(
            f"trainer.overfit_batches {trainer.overfit_batches}: it would replace the sampler of whole batches; give "
            f"--trainer.limit_train_batches {trainer.overfit_batches} to train on few."
        )
    _refuse_numbers(config)


def _refuse_numbers(config: Namespace) -> None:
    trainer, minutes = config.trainer, config.save_minutes
    for key in ("accumulate_grad_batches", "check_val_every_n_epoch"):
        if trainer[key] is not None and trainer[key] < 1:
            raise UserError(f"trainer.{key} is {trainer[key]}: give at least 1.")
    for key in ("log_every_n_steps", "gradient_clip_val"):
        if trainer[key] is not None and not trainer[key] >= 0:  # Lightning takes the first as positive, the second as 0
            raise UserError(f"trainer.{key} is {trainer[key]}: give a number above 0, or 0 to turn it off.")
    if not 0 <= minutes <= _MOST_MINUTES:
        raise UserError(f"save_minutes is {minutes}: give a number of minutes, or 0 to save at each step.")


def _refuse_monitor(key: str, monitor: str | None, mode: str) -> None:
    if monitor is None and key == "checkpoint":
        return
    if monitor not in _MONITORS:
        raise UserError(f"{key}.monitor {monitor}: there is no such dev metric; give one of {', '.join(_MONITORS)}.")
    if (monitor == "val/loss") != (mode == "min"):
        raise UserError(
            f"{key}.monitor {monitor} with {key}.mode {mode}: a loss goes with min, every other metric with max."
        )


def _refuse_unmeasured(config: Namespace) -> None:
    trainer = config.trainer
    if trainer.limit_val_batches == 0 and trainer.enable_checkpointing is not False and config.checkpoint.monitor:
        raise UserError(
            f"trainer.limit_val_batches 0: checkpoint.monitor {config.checkpoint.monitor} is then never measured; give "
            "--checkpoint.monitor null, or --trainer.enable_checkpointing false, with it."
        )
    between = next((key for key in ("every_n_train_steps", "train_time_interval") if config.checkpoint[key]), None)
    if between and config.checkpoint.monitor is not None:
        raise UserError(
            f"checkpoint.{between} saves between validations, where checkpoint.monitor is not measured: "
            "give --checkpoint.monitor null --checkpoint.save_top_k -1 with it, or --trainer.val_check_interval."
        )


def save_after_validation(config: Namespace) -> None:
    """Write checkpoints right after validations, where Lightning would write them after the epoch's end.

    An epoch's training metrics are logged at its end: a run that resumed from a later checkpoint would not log them,
    but count them in those of the next epoch.
    """
    if config.checkpoint.dirpath is None:  # the folder is this run's alone, so a new best.ckpt replaces the old one
        config.checkpoint.enable_version_counter = False
    if config.trainer.limit_val_batches != 0:
        for callback, key in (
            ("checkpoint", "save_on_train_epoch_end"),
            ("early_stopping", "check_on_train_epoch_end"),
        ):
            if config[callback][key] is None:
                config[callback][key] = False


def with_absolute_paths(config: Namespace) -> Namespace:
    """Return the settings as a checkpoint needs them, which is used from other folders too."""
    config = config.clone()
    for key in ("data_dir", "cache_dir"):
        if config.data[key] is not None:
            config.data[key] = os.path.abspath(config.data[key])
    return config
