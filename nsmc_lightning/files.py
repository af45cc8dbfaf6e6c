"""Files and folders that are there only once they are whole, and locks on files."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".part"
"""Ending of a file that is being written."""
TEMPORARY = ".new-"
"""Beginning of the name of a folder that is being written."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to, which gets its name when the block ends; after an error it is removed.

    Raises:
        OSError: the folder cannot be made, or the file not be renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")  # threads and machines may write one file
    try:
        yield partial
        os.replace(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Gives an empty folder beside ``folder``, which gets its name when the block ends; after an error it is removed.

    Where another process was first, its folder stays: both must write the same content under a name.

    Raises:
        OSError: the folder cannot be made or renamed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = new_name(folder.parent)
    try:
        temporary.mkdir()
        yield temporary
        try:
            os.rename(temporary, folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def new_name(folder: Path) -> Path:
    """A name for a temporary folder within ``folder``, which is not made."""
    # Not mkdtemp, which lets in nobody but its owner: a cache may be shared.
    return folder / f"{TEMPORARY}{uuid.uuid4().hex}"


def lock(file: IO[bytes], wait: bool) -> bool:
    """Takes a lock that the file's closing, or the process's end, releases.

    Returns:
        Whether the file is now this process's alone; False where files cannot be locked: Windows, some network file
        systems.

    Raises:
        BlockingIOError: another process has the lock, and ``wait`` is false.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # ENOSYS, say, on Lustre mounted without flock
        return False
    return True


def to_disk(path: Path) -> None:
    """Makes a file's content, or a new name in a folder, outlast a power cut, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
