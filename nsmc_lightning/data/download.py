"""Published files to the cache: resumed where a download broke off, checked, and there only once they are whole."""

import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from nsmc_lightning.data.corpus import Source
from nsmc_lightning.types import UserError

_TIMEOUT = (10, 30)  # seconds to connect, and between two pieces
_PIECE = 1 << 16  # bytes


def default_cache_dir() -> Path:
    """``$NSMC_LIGHTNING_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("NSMC_LIGHTNING_CACHE") or pooch.os_cache("nsmc_lightning"))


def fetch(source: Source, directory: Path | None, corpus_name: str, cache_dir: Path) -> Path:
    """Where a source's file is, after it was downloaded if need be.

    Args:
        source: the file.
        directory: the user's folder of files that are already there; they are used as they are, without a checksum.
        corpus_name: folder below the cache.
        cache_dir: where downloads are kept; what is there was checked when it came.

    Raises:
        UserError: the file is not in ``directory``, it cannot be downloaded, or it is not what its checksum says.
    """
    cached = cache_dir / corpus_name
    if directory is not None:
        if (directory / source.file).exists():
            return directory / source.file
        if source.archive is not None and (directory / source.archive).is_file():
            return _unpacked(directory / source.archive, source, cached)
        wanted = source.archive or source.file
        origin = f"; it is published at {source.url}" if source.url else ""
        raise UserError(f"{directory / wanted}: there is no such file{origin}. --data.data_dir names its folder.")
    if (cached / source.file).exists():
        return cached / source.file
    if source.url is None:
        raise UserError(f"{source.file}: the corpus {corpus_name} has no address to download it from; "
                        "give its folder with --data.data_dir.")  # fmt: skip
    target = cached / (source.archive or source.file)
    if not target.is_file():
        _download(source.url, target, source.sha256)
    return target if source.archive is None else _unpacked(target, source, cached)


def _download(url: str, target: Path, sha256: str | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    try:
        # pooch would download to a temporary file of its own, which a broken connection loses: the part stays.
        _ResumingDownloader()(url, str(part), None)
    except (requests.RequestException, OSError) as error:
        raise UserError(
            f"{url} cannot be downloaded ({_reason(error)}).\n"
            f"Put the file at {target}, or name its folder with --data.data_dir; "
            "configs/demo.yaml works without a network."
        ) from error
    if sha256 is not None:
        found = pooch.file_hash(str(part), alg="sha256")
        if found != sha256:
            aside = target.with_name(f"{target.name}.refused-{found[:8]}")
            os.replace(part, aside)
            raise UserError(
                f"{url}: its sha256 is {found}, not {sha256}: refused, and kept as {aside}.\n"
                "Try again later, or name a folder that holds the right file with --data.data_dir."
            )
    os.replace(part, target)


class _ResumingDownloader:
    """A downloader as pooch calls one, which goes on from what ``output_file`` already holds."""

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        path = Path(output_file)
        have = path.stat().st_size if path.is_file() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                path.unlink()  # longer than the file, or just as long: begin anew rather than guess
                return self(url, output_file, pooch)
            response.raise_for_status()
            resumed = response.status_code == requests.codes.partial_content
            start = have if resumed else 0  # a server that knows no ranges sends the whole
            length = int(response.headers.get("Content-Length", 0)) + start
            with path.open("ab" if resumed else "wb") as file, _bar(path.stem, length, start) as bar:
                for piece in response.iter_content(_PIECE):
                    file.write(piece)
                    bar.update(len(piece))
        if length > start and path.stat().st_size < length:
            raise requests.ConnectionError(f"broke off after {path.stat().st_size} of {length} bytes")
        return None


def _bar(name: str, total: int, initial: int) -> "tqdm[None]":
    shown = sys.stderr.isatty()
    return tqdm(desc=name, total=total or None, initial=initial, unit="B", unit_scale=True, disable=not shown)


def _unpacked(archive: Path, source: Source, cached: Path) -> Path:
    """Unpacks a tar.gz into the cache, all of it or nothing, and returns where the source's file is in it.

    Nothing is written outside the folder, whatever the archive names.
    """
    # A user's own archive is not the cached one: the folder is named after what the archive is.
    stat = archive.stat()
    identity = hashlib.sha256(f"{archive.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = cached / f"{archive.name}.{identity}"
    if not folder.is_dir():
        cached.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cached, prefix=".unpack-"))
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(temporary, filter="data")
            os.replace(temporary, folder)
        except (tarfile.TarError, EOFError, OSError) as error:
            if not folder.is_dir():  # otherwise another process was first, with the same content
                raise UserError(f"{archive}: cannot be unpacked ({_reason(error)}).") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if not (folder / source.file).exists():
        raise UserError(f"{archive}: holds no {source.file}.")
    return folder / source.file


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "timed out"
    if isinstance(error, requests.ConnectionError) and "broke off" not in str(error):
        return "no connection"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
