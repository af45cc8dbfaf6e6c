"""Files and folders that appear only when they are complete, and locks and checksums of files."""

import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from platformdirs import user_cache_dir

from nsmc_lightning.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".part"
"""Ending of a file that is being written."""


def default_cache_dir() -> Path:
    """Return ``$NSMC_LIGHTNING_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("NSMC_LIGHTNING_CACHE") or user_cache_dir("nsmc_lightning"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write named tuples, mappings, lists and plain values as JSON; NaN and infinities, which it lacks, become null.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        with whole_file(path) as partial:
            partial.write_text(json.dumps(_plain(content), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}).") from error


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, renamed to it when the block ends and removed after an error.

    Raises:
        OSError: the folder cannot be made, or the file cannot be renamed.
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
    """Give an empty folder beside ``folder``, renamed to it when the block ends and removed after an error.

    If another process has made ``folder`` meanwhile, that one stays: a name must determine its content.

    Raises:
        OSError: the folder cannot be made or renamed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    # mkdtemp would make a folder that only its owner can read: a cache may be shared.
    temporary = folder.parent / f".new-{uuid.uuid4().hex}"
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


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock(file: IO[bytes], wait: bool) -> bool:
    """Lock a file until it is closed or the process ends.

    Returns:
        False where files cannot be locked: on Windows and some network file systems.

    Raises:
        BlockingIOError: another process has locked it, and ``wait`` is false.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # for example ENOSYS on Lustre mounted without flock
        return False
    return True


def to_disk(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, so that a power cut does not lose them."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
