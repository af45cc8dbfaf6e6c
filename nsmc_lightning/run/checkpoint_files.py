"""Checkpoint files that are whole or not there, whatever ends the process that writes them."""

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
    """Writes a checkpoint beside its target, to the disk, and only then gives it the target's name.

    Lightning's own writes to ``$TMPDIR`` and moves: across file systems that is a copy, and a process killed within it
    leaves half a file under the target's name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes ``checkpoint`` to ``path``; what stood there stays until the new one is whole.

        Raises:
            UserError: the file cannot be written: a full disk, a folder without permission.
        """
        if "://" in str(path):  # not a file system of this machine's: an upload is whole or fails
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
                f"{target}: the checkpoint cannot be written ({cause.strerror}); those written before are whole. Make "
                "room or choose another folder (--log_dir, --checkpoint.dirpath), and go on from the last of them "
                "with fit --ckpt_path."
            ) from error


def remove_leftovers(folders: Iterable[str | Path | None]) -> None:
    """Removes the partial files that dead processes left in ``folders``; one being written now is left alone.

    Where files cannot be locked nobody knows which is which, and all are left alone.
    """
    for path in [path for folder in folders if folder for path in Path(folder).glob(f".*{PARTIAL}")]:
        with contextlib.suppress(OSError), path.open("rb") as file:
            if lock(file, wait=False):  # its writer holds it, and death lets it go
                path.unlink()


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:
        lock(file, wait=True)  # for remove_leftovers alone: without it the file is written as well
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())


def _os_error(error: BaseException | None) -> OSError | None:
    """The failed system call behind ``error``; torch hides it behind an error of its own about the broken file."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
