"""Where the results of a checkpoint are: in the folder of its run, by names that tell its checkpoints apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_BEST = "best"
_RECORDS = ("run.json", "config.yaml")


def run_of(ckpt_path: str | Path) -> Path | None:
    """Return the folder of the run that a checkpoint is in, ``RUN/checkpoints/X.ckpt``, as an absolute path.

    Returns:
        None for a checkpoint elsewhere: copied out of its run, or written by a plain ``Trainer``.
    """
    folder = Path(ckpt_path).resolve().parent
    is_run = folder.name == "checkpoints" and any((folder.parent / name).is_file() for name in _RECORDS)
    return folder.parent if is_run else None


def result_name(ckpt_path: str | Path, name: str) -> str:
    """Return the name of a checkpoint's result in its run: ``test.csv`` for best.ckpt, ``test-last.csv`` for last.ckpt.

    Args:
        ckpt_path: the checkpoint.
        name: that of the best checkpoint's result.
    """
    checkpoint, result = Path(ckpt_path).stem, Path(name)
    return name if checkpoint == _BEST else f"{result.stem}-{checkpoint}{result.suffix}"


def result_path(trainer: Trainer, name: str) -> Path:
    """Return the file for a result of the checkpoint that a trainer measures; all processes call this together.

    Args:
        trainer: during test, validate or predict.
        name: of the result, as ``test.csv``. In the checkpoint's own run, :func:`result_name` changes it; a folder of
            this command alone has one checkpoint.
    """
    folder = Path(trainer.log_dir or trainer.default_root_dir)  # some loggers of a plain Trainer have no folder
    ckpt_path = trainer.ckpt_path
    if ckpt_path is not None and run_of(ckpt_path) == folder.resolve():
        name = result_name(ckpt_path, name)
    return folder / name
