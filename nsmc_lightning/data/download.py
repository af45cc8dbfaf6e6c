"""Published files in the cache: downloaded, checked, unpacked, and under their name only when complete."""

import gzip
import hashlib
import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from tqdm import tqdm

from nsmc_lightning.data.corpus import Source
from nsmc_lightning.errors import UserError, reason
from nsmc_lightning.files import PARTIAL, file_digest, lock, whole_folder

Unpack = Callable[[Path, Path], None]
"""Writes what an archive, the first path, contains to a folder, the second."""

_TIMEOUT = (10, 30)  # seconds to connect, and between two chunks
_CHUNK = 1 << 16  # bytes


@contextmanager
def tar_stream(archive: Path) -> Iterator[tarfile.TarFile]:
    """Give a tar.gz, whose members can be read once and in their order.

    Raises:
        tarfile.TarError, EOFError, zlib.error, OSError: the archive is damaged, also behind what was read of it.
    """
    with gzip.open(archive) as stream:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            yield tar
        # tarfile takes damage for the archive's end; gzip finds it by its checksum at the end of the stream.
        while stream.read(_CHUNK):
            pass


def extract(archive: Path, folder: Path) -> None:
    """Extract a tar.gz to a folder; members outside of the folder are refused.

    Raises:
        tarfile.TarError, EOFError, zlib.error, OSError: the archive is damaged, or cannot be extracted.
    """
    with tar_stream(archive) as tar:
        tar.extractall(folder, filter="data")


def fetch(source: Source, directory: Path | None, corpus_name: str, cache_dir: Path, unpack: Unpack = extract) -> Path:
    """Return where a source's file is; it is downloaded and unpacked first if necessary.

    Args:
        source: the file.
        directory: the user's folder of files, which are used as they are, without a checksum; an archive among them is
            unpacked to the cache. None downloads.
        corpus_name: folder below the cache.
        cache_dir: folder for downloads; a file that it contains was checked when it was downloaded.
        unpack: writes the source's file from its archive to an empty folder.

    Raises:
        UserError: ``directory`` lacks the file, it cannot be downloaded or unpacked, or its checksum is wrong.
    """
    cached = cache_dir / corpus_name
    if directory is not None:
        return _in_directory(source, directory, cached, unpack)
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
    return target if source.archive is None else _unpacked(target, source, cached, unpack)


def _in_directory(source: Source, directory: Path, cached: Path, unpack: Unpack) -> Path:
    file = directory / source.file
    if file.exists():
        return file
    if source.archive is not None and (directory / source.archive).is_file():
        return _unpacked(directory / source.archive, source, cached, unpack)
    archive = f", nor {source.archive} that contains it" if source.archive else ""
    origin = f"\nIt is published at {source.url}; without --data.data_dir it is downloaded." if source.url else ""
    raise UserError(f"{file}: there is no such file{archive}; --data.data_dir is the folder to look for it in.{origin}")


def _download(url: str, target: Path, sha256: str | None) -> None:
    """Download to ``target``, which appears only when it is complete and its checksum is right."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _partial_file(target) as partial:
            if target.is_file():
                return  # another run downloaded it while this one waited
            _download_rest(url, partial)
            found = file_digest(partial)
            if sha256 not in (None, found):
                partial.unlink()
                raise UserError(
                    f"{url}: the sha256 of the download is {found}, not {sha256}, so it is refused.\n"
                    "Try again later, or name a folder that contains the right file with --data.data_dir."
                )
            os.replace(partial, target)
    except OSError as error:  # requests.RequestException is one
        raise UserError(
            f"{url} cannot be downloaded ({_reason(error)}).\n"
            f"Put the file at {target}, or name its folder with --data.data_dir; "
            "configs/demo.yaml works without a network."
        ) from error


@contextmanager
def _partial_file(target: Path) -> Iterator[Path]:
    """Give one run at a time the file to download to, which stays after an error so that the next attempt resumes.

    Where files cannot be locked (some network file systems) each run has a file of its own, which does not stay.
    """
    with target.with_name(f".{target.name}.lock").open("ab") as file:  # not deleted: others may be waiting for it
        if lock(file, wait=True):
            yield target.with_name(target.name + PARTIAL)
            return
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as folder:
        yield Path(folder) / target.name


def _download_rest(url: str, partial: Path) -> None:
    """Append to ``partial`` what it lacks of the file at ``url``; a server without ranges sends all of it again."""
    have = partial.stat().st_size if partial.is_file() else 0
    headers = {"Accept-Encoding": "identity"}  # ranges of a compressed answer do not count the file's own bytes
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        sent = response.headers.get("Content-Range", "")
        if sent == f"bytes */{have}":
            return  # complete, but not yet renamed
        resumes = sent.startswith(f"bytes {have}-")
        unsatisfiable = response.status_code == requests.codes.requested_range_not_satisfiable
        if not have or not (unsatisfiable or (sent and not resumes)):
            response.raise_for_status()
            _write(response, partial, have if resumes else 0)
            return
    partial.unlink()  # of another version of the file: start again
    _download_rest(url, partial)


def _write(response: requests.Response, partial: Path, start: int) -> None:
    """Write the response's body behind the first ``start`` bytes of ``partial``; show progress on a terminal."""
    total = start + int(response.headers.get("Content-Length", 0))
    with (
        partial.open("ab" if start else "wb") as file,
        tqdm(desc=partial.stem, total=total or None, initial=start, unit="B", unit_scale=True, disable=None) as bar,
    ):
        for chunk in response.iter_content(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
    if partial.stat().st_size < total:
        raise requests.exceptions.ChunkedEncodingError("fewer bytes than promised")


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "timed out"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off; the next attempt resumes there"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not accepted"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return reason(error)


def _unpacked(archive: Path, source: Source, cached: Path, unpack: Unpack) -> Path:
    """The source's file in its archive, which is unpacked once for all sources that share it."""
    # A user's archive may change, or differ from the downloaded one: the folder is named after the file's identity.
    stat = archive.stat()
    identity = hashlib.sha256(f"{archive.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = cached / f"{archive.name}.{identity}"
    if not folder.is_dir():
        try:
            with whole_folder(folder) as content:
                unpack(archive, content)
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            again = f" Delete it and download it again from {source.url}." if source.url else ""
            raise UserError(f"{archive}: cannot be unpacked ({_reason(error)}).{again}") from error
    if not (folder / source.file).exists():
        raise UserError(f"{archive}: does not contain {source.file}.")
    return folder / source.file
