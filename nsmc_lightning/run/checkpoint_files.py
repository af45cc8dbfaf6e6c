"""Checkpoint files that are complete or absent, whatever ends the process that writes them."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from nsmc_lightning.errors import UserError
from nsmc_lightning.files import PARTIAL, lock, to_disk, whole_file


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its target, flush it to the disk, and only then rename it to the target.

    Lightning's own writes to ``$TMPDIR`` and moves the file: across file systems that is a copy, and a process killed
    during it leaves half a file under the target's name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``; an older file there is kept until the new one is complete.

        Raises:
            UserError: the file cannot be written: a full disk, a folder without permission.
        """
        if "://" in str(path):  # remote storage, where an upload is complete or fails
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        try:
            with whole_file(target) as partial:
                _write(checkpoint, partial)
            to_disk(target.parent)
        except Exception as error:
            cause = _os_error(error)
            if cause is None:
                raise
            raise UserError(
                f"{target}: the checkpoint cannot be written ({cause.strerror}); earlier ones are complete. Make room "
                "or choose another folder (--log_dir, --checkpoint.dirpath), and resume from the last one with "
                "fit --ckpt_path."
            ) from error


def remove_leftovers(folders: Iterable[str | Path | None]) -> None:
    """Remove the partial files that dead processes left in ``folders``, and keep one that is being written.

    Where files cannot be locked, the two cannot be told apart, and all are kept.
    """
    for path in [path for folder in folders if folder for path in Path(folder).glob(f".*{PARTIAL}")]:
        with contextlib.suppress(OSError), path.open("rb") as file:
            if lock(file, wait=False):  # a writer that is alive holds the lock
                path.unlink()


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:
        lock(file, wait=True)  # for remove_leftovers; not needed to write
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())


def _os_error(error: BaseException | None) -> OSError | None:
    """Return the failed system call that caused ``error``; torch raises an error of its own about the broken file."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
