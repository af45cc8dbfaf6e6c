"""The folder that a command writes: new, and there only when it is complete."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nsmc_lightning.errors import UserError, reason
from nsmc_lightning.files import whole_folder


def refuse_output(output: Path) -> None:
    """Refuse a folder that has content or cannot be written, before minutes of work.

    Raises:
        UserError: it is such a folder, or not a folder.
    """
    try:
        if output.is_symlink() or (output.exists() and not (output.is_dir() and not any(output.iterdir()))):
            raise UserError(f"--output {output}: exists already.\nName a folder that does not, or remove this one.")
        output.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(output.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UserError(f"--output {output}: cannot be written ({error.strerror}).") from error


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``output``, whose files all users of the folder may read.

    Raises:
        UserError: a file cannot be written.
    """
    from safetensors import SafetensorError  # imports torch, which --help can spare

    try:
        with whole_folder(output) as folder:
            yield folder
            for file in folder.iterdir():
                file.chmod(folder.stat().st_mode & 0o666)  # safetensors makes files that only their owner can read
            if output.exists():
                output.rmdir()  # empty, or another process has written to it meanwhile
    except (OSError, SafetensorError) as error:
        raise UserError(f"--output {output}: cannot be written ({reason(error)}).") from error
