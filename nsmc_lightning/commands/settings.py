"""Which settings of a run are refused, by us or by Lightning, and which follow from others."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException

from nsmc_lightning.errors import UserError
from nsmc_lightning.types import MEASURES

_MONITORS = tuple(f"val/{name}" for name in MEASURES)


def refuse_seed(seed: int | bool | None) -> None:
    """Refuses a seed that numpy's generators do not take; True draws one.

    Raises:
        UserError: it is negative or too large.
    """
    if seed is not None and not 0 <= seed < 2**32:
        raise UserError(f"seed_everything is {seed}: give a number from 0 to {2**32 - 1}.")


def refuse_unwise(config: Namespace) -> None:
    """Refuses what would train without end or not at all, or keep another checkpoint than it says.

    Raises:
        UserError: there is such a setting of ``fit``.
    """
    trainer = config.trainer
    if trainer.max_epochs is None and trainer.max_steps == -1 and not (trainer.max_time or trainer.fast_dev_run):
        raise UserError("fit needs an end: give --trainer.max_epochs (2 to 4 are usual) or --trainer.max_steps.")
    for key in ("max_epochs", "max_steps", "limit_train_batches"):
        if trainer[key] is not None and trainer[key] == 0:
            raise UserError(f"trainer.{key} is 0: nothing would be trained; leave it out, or give a larger number.")
    if trainer.accumulate_grad_batches < 1:
        raise UserError(f"trainer.accumulate_grad_batches is {trainer.accumulate_grad_batches}: give at least 1.")
    if trainer.overfit_batches:  # Lightning would draw single reviews in order, in place of our batches
        raise UserError(
            f"trainer.overfit_batches {trainer.overfit_batches}: it would replace the sampler of whole batches; give "
            f"--trainer.limit_train_batches {trainer.overfit_batches} to train on few."
        )
    for key in ("checkpoint", "early_stopping"):
        _refuse_monitor(key, config[key].monitor, config[key].mode)
    _refuse_unmeasured(config)


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


# Lightning's messages as it builds a trainer: a pattern, the key, and our message; {} is the setting's value.
_NO_TRAINER = (
    (
        r"No supported gpu backend|can not run on your system|torch_xla",
        "accelerator",
        "PyTorch finds none on this machine; give --trainer.accelerator auto, which takes what there is, or cpu.",
    ),
    (
        r"invalid accelerator name",
        "accelerator",
        "there is no such accelerator; give auto, cpu, gpu, cuda, mps or tpu.",
    ),
    (
        r"invalid strategy name",
        "strategy",
        "there is no such strategy; give auto, ddp (a process for each device), fsdp or another of Lightning's.",
    ),
    (
        r"requested gpu.* only has: (\[.*\])",
        "devices",
        "the GPUs of this machine are {}; give as many or fewer, or auto, which takes all.",
    ),
    (
        r"`devices|\(devices",
        "devices",
        "give a number of processes from 1 up, auto, or of GPUs a list of their numbers.",
    ),
)


@contextmanager
def no_trainer(trainer: Namespace) -> Iterator[None]:
    """Turns what Lightning raises as it builds a trainer from settings into a user's mistake.

    Raises:
        UserError: with the key, the value and what to give instead; in Lightning's words where there are none of ours.
    """
    try:
        yield
    except (ValueError, TypeError, MisconfigurationException, ModuleNotFoundError) as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        said = " ".join(str(error).split())
        if not frames[-1].f_globals.get("__name__", "").startswith("lightning."):
            raise
        if any(frame.f_code.co_name == "parse_devices" for frame in frames) and "only has" not in said:
            said = f"`devices`: {said}"
        for pattern, key, words in _NO_TRAINER:
            if found := re.search(pattern, said):
                raise UserError(f"trainer.{key} {trainer[key]}: {words.format(*found.groups())}") from error
        raise UserError(f"trainer: {said}") from error


@contextmanager
def refused_by_lightning() -> Iterator[None]:
    """Turns a ValueError that Lightning raises as it sets up its loops into a user's mistake.

    There it compares the trainer's settings with the data: ``val_check_interval`` with the batches of an epoch, say.
    Of what it refuses elsewhere, most is a MisconfigurationException; any other ValueError is the program's.

    Raises:
        UserError: with Lightning's words.
    """
    try:
        yield
    except ValueError as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        raised_in = frames[-1].f_globals.get("__name__", "")
        if not raised_in.startswith("lightning.") or all(frame.f_code.co_name != "setup_data" for frame in frames):
            raise
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error


def save_after_validation(config: Namespace) -> None:
    """Has checkpoints written after validations, before an epoch's end, where Lightning would write them after it.

    An epoch's training metrics are logged after that, and a run that goes on from there would never log them, but count
    them in those of the next epoch.
    """
    if config.checkpoint.dirpath is None:  # the folder is this run's alone: a new best.ckpt takes the old one's place
        config.checkpoint.enable_version_counter = False
    if config.trainer.limit_val_batches != 0:
        for callback, key in (
            ("checkpoint", "save_on_train_epoch_end"),
            ("early_stopping", "check_on_train_epoch_end"),
        ):
            if config[callback][key] is None:
                config[callback][key] = False
