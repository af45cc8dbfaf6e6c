"""Published files to the cache: resumed where a download broke off, checked, and there only once they are whole."""

import gzip
import hashlib
import logging
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, cast

import pooch
import requests
from tqdm import tqdm

from nsmc_lightning.data.corpus import Source
from nsmc_lightning.errors import UserError
from nsmc_lightning.files import lock, whole_folder

_TIMEOUT = (10, 30)  # seconds to connect, and between two pieces
_PIECE = 1 << 16  # bytes
_GROWTH = 20  # texts grow about fourfold when they are unpacked; gzip can promise a thousandfold
_SMALL = 1 << 26  # bytes that any archive may unpack to

log = logging.getLogger(__name__)


def default_cache_dir() -> Path:
    """``$NSMC_LIGHTNING_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("NSMC_LIGHTNING_CACHE") or pooch.os_cache("nsmc_lightning"))


def fetch(source: Source, directory: Path | None, corpus_name: str, cache_dir: Path) -> Path:
    """Where a source's file is, after it was downloaded and unpacked if need be.

    Args:
        source: the file.
        directory: the user's folder of files that are already there. They are the user's own and used as they are,
            without a checksum; an archive among them is unpacked to the cache.
        corpus_name: folder below the cache.
        cache_dir: where downloads are kept; what is there was checked when it came.

    Raises:
        UserError: the file is not in ``directory``, it cannot be downloaded or unpacked, or it is not what its
            checksum says.
    """
    cached = cache_dir / corpus_name
    if directory is not None:
        return _in_directory(source, directory, cached)
    if (cached / source.file).exists():
        return cached / source.file
    target = cached / (source.archive or source.file)
    if not target.is_file():
        if source.url is None:
            raise UserError(
                f"{source.file}: the corpus {corpus_name} has no address to download it from; "
                "give its folder with --data.data_dir."
            )
        _download(source.url, target, source.sha256)
    return target if source.archive is None else _unpacked(target, source, cached)


def _in_directory(source: Source, directory: Path, cached: Path) -> Path:
    file = directory / source.file
    if file.exists():
        return file
    if source.archive is not None and (directory / source.archive).is_file():
        return _unpacked(directory / source.archive, source, cached)
    archive = f", nor {source.archive} that holds it" if source.archive else ""
    origin = f"\nIt is published at {source.url}; without --data.data_dir it is downloaded." if source.url else ""
    raise UserError(
        f"{file}: there is no such file{archive}; --data.data_dir names the folder it is looked for in.{origin}"
    )


# Download


def _download(url: str, target: Path, sha256: str | None) -> None:
    """Downloads to ``target``, which appears only once it is whole and is what its checksum says.

    ``pooch.retrieve`` is not used: it knows no resuming, and deletes what a broken connection or a wrong checksum left.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _part_of_one_writer(target) as part:
            if target.is_file():
                return  # another run brought it while this one waited
            _download_rest(url, part)
            found = pooch.file_hash(str(part), alg="sha256")
            aside = None if sha256 in (None, found) else target.with_name(f"{target.name}.bad-{found[:8]}")
            os.replace(part, aside or target)
    except OSError as error:  # requests.RequestException is one
        raise UserError(
            f"{url} cannot be downloaded ({_reason(error)}).\n"
            f"Put the file at {target}, or name its folder with --data.data_dir; "
            "configs/demo.yaml works without a network."
        ) from error
    if aside:
        raise UserError(
            f"{url}: its sha256 is {found}, not {sha256}: refused, and kept as {aside}.\n"
            "Try again later, or name a folder that holds the right file with --data.data_dir."
        )


@contextmanager
def _part_of_one_writer(target: Path) -> Iterator[Path]:
    """Where to download to, for one run at a time; the others wait.

    Where files cannot be locked (some network file systems) it is a run's own, which nobody goes on with later.
    """
    with target.with_name(f".{target.name}.lock").open("ab") as file:  # left there: a deleted lock locks nobody out
        if _locked(file, target):
            yield target.with_name(f"{target.name}.part")
            return
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as own:
        yield Path(own) / f"{target.name}.part"


def _locked(file: IO[bytes], target: Path) -> bool:
    """Takes the lock, after another run has released it; False where there are no locks."""
    try:
        return lock(file, wait=False)
    except BlockingIOError:
        log.info(f"{target}: another run is downloading it; waiting.")
        return lock(file, wait=True)


def _download_rest(url: str, part: Path) -> None:
    """Adds to ``part`` what it lacks of the file at ``url``; a server that knows no ranges sends all of it again."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"}  # ranges of a compressed answer do not count the file's own bytes
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        sent = response.headers.get("Content-Range", "")
        unsatisfiable = response.status_code == requests.codes.requested_range_not_satisfiable
        resumed = response.status_code == requests.codes.partial_content
        if unsatisfiable and sent == f"bytes */{have}":
            return  # it was whole already, and stopped before it got its name
        if not (have and (unsatisfiable or (resumed and not sent.startswith(f"bytes {have}-")))):
            response.raise_for_status()
            _write(response, part, have if resumed else 0)
            return
    part.unlink()  # of another file than the one that is there now: start anew
    _download_rest(url, part)


def _write(response: requests.Response, part: Path, start: int) -> None:
    """Writes what is sent behind the first ``start`` bytes of ``part``, with a progress bar on a terminal only."""
    total = start + int(response.headers.get("Content-Length", 0))
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(desc=part.stem, total=total or None, initial=start, unit="B", unit_scale=True, disable=None) as bar,
    ):
        for piece in response.iter_content(_PIECE):
            file.write(piece)
            bar.update(len(piece))
    if part.stat().st_size < total:
        raise requests.exceptions.ChunkedEncodingError("fewer bytes than were promised")


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "timed out"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off; the next attempt goes on from there"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not accepted"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


# Archives


def _unpacked(archive: Path, source: Source, cached: Path) -> Path:
    """Where the source's file is in its archive, unpacked once for all sources that share it."""
    # A user's own archive is not the one that was downloaded: the folder is named after what the archive is.
    stat = archive.stat()
    identity = hashlib.sha256(f"{archive.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = cached / f"{archive.name}.{identity}"
    if not folder.is_dir():
        try:
            _unpack(archive, folder)
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            again = f" Delete it, and get it anew from {source.url}." if source.url else ""
            raise UserError(f"{archive}: cannot be unpacked ({_reason(error)}).{again}") from error
    if not (folder / source.file).exists():
        raise UserError(f"{archive}: holds no {source.file}.")
    return folder / source.file


def _unpack(archive: Path, folder: Path) -> None:
    """Unpacks a tar.gz, all of it or nothing: plain files below the folder only, no more than texts could grow to."""
    limit = max(_SMALL, _GROWTH * archive.stat().st_size)
    with whole_folder(folder) as content, gzip.open(archive) as unbounded:
        stream = _Bounded(unbounded, limit)
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|") as tar:
            tar.extractall(content, filter=partial(_plain, limit=limit))
        # tarfile takes damage for the archive's end: gzip compares its own checksum where it is read to the end.
        while stream.read(_PIECE):
            pass


class _Bounded:
    """A stream that refuses to be read beyond ``limit`` bytes, also in headers and behind the archive's end."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        self._stream, self._left = stream, limit

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.TarError("it unpacks to far more than texts of its size could")
        return data


def _plain(member: tarfile.TarInfo, folder: str, limit: int) -> tarfile.TarInfo | None:
    """Refuses what no corpus holds: links, devices, names that lead elsewhere, and sparse files of any size."""
    if not (member.isfile() or member.isdir()):
        raise tarfile.TarError(f"{member.name} is a link or a device")
    if Path(member.name).is_absolute() or ".." in Path(member.name).parts:
        raise tarfile.TarError(f"{member.name} leads outside of the archive's folder")
    if member.size > limit:
        raise tarfile.TarError(f"{member.name} says that it has {member.size:,} bytes")
    return tarfile.data_filter(member, folder)
