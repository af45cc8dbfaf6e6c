"""The token cache: what a part of a corpus became, kept on disk together with what it was made from.

An entry is a folder of NumPy arrays, opened memory-mapped, and ``part.json``, which holds their checksums and what they
were made from. The folder's name is a hash of the latter: other bytes in the corpus's file, another tokenizer, setting
or rule is another entry, so nothing is ever out of date. The folder can be deleted at any time.
"""

import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import time
import unicodedata
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nsmc_lightning.data.encode import Encoded, EncodedPart
from nsmc_lightning.files import TEMPORARY, new_name, whole_folder

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent
# Of this folder, what does not decide which tokens a text becomes. All else does, by its content: neither a version
# number nor a new file can be forgotten.
_NO_RULES = ("__init__", "batch", "demo", "download", "loader", "module", "resume", "sampler")
_LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "tokenizers")
_ABANDONED = 3600  # seconds; an entry is written in a few


def file_digest(path: Path, folders: Sequence[str] = ()) -> str:
    """sha256 of a file's bytes, in hex; of a folder, that of the names and bytes of all texts in its ``folders``.

    Raises:
        OSError: where it cannot be read.
    """
    if not folders:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for text in sorted(text for folder in folders for text in (path / folder).glob("*.txt")):
        content = text.read_bytes()
        digest.update(f"{text.relative_to(path)}\0{len(content)}\0".encode(errors="surrogateescape"))
        digest.update(content)
    return digest.hexdigest()


@cache
def rules_digest() -> str:
    """sha256 of the code that makes tokens of a file, and of the versions of the libraries it calls."""
    digest = hashlib.sha256()
    for path in sorted(_FOLDER.rglob("*.py")):
        if path.relative_to(_FOLDER).parts[0].removesuffix(".py") not in _NO_RULES:
            digest.update(path.read_bytes())
    versions = [importlib.metadata.version(library) for library in _LIBRARIES]
    digest.update(" ".join([*versions, unicodedata.unidata_version]).encode())
    return digest.hexdigest()


def entry_folder(folder: Path, made_from: dict[str, Any]) -> Path:
    """The folder of the entry made from that, below ``folder``; whether it exists or not."""
    return folder / hashlib.sha256(_canonical(made_from).encode()).hexdigest()[:16]


def load_part(folder: Path, made_from: dict[str, Any]) -> EncodedPart | None:
    """The entry made from exactly that, its arrays memory-mapped, or None; a damaged entry is removed.

    Args:
        folder: of all entries.
        made_from: everything that decides what the entry holds, as JSON can write it.
    """
    entry = entry_folder(folder, made_from)
    if not entry.is_dir():
        return None
    try:
        return _read(entry, made_from)
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        log.info(f"{entry}: damaged ({' '.join(str(error).split())[:200]}); it is made anew.")
        _discard(entry)
        return None


def store_part(folder: Path, made_from: dict[str, Any], part: EncodedPart) -> None:
    """Writes an entry: whole or not at all, also where other processes write the same one at the same time.

    Raises:
        OSError: where it cannot be written; nothing of it is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    with whole_folder(entry_folder(folder, made_from)) as temporary:
        _write(temporary, made_from, part)


# One entry's files


def _write(entry: Path, made_from: dict[str, Any], part: EncodedPart) -> None:
    arrays = {"labels": part.labels, "characters": part.characters}
    for name in ("tokens", "offsets", "full_lengths"):
        arrays[name] = getattr(part.encoded, name)
    for name, array in arrays.items():
        np.save(entry / f"{name}.npy", array)
    description = {
        "made_from": made_from,
        "counts": part.counts,
        "unknown": part.unknown,
        "crc32": {file.name: _crc32(file) for file in sorted(entry.glob("*.npy"))},
    }
    (entry / "part.json").write_text(json.dumps(description, ensure_ascii=False, indent=1), encoding="utf-8")


def _read(entry: Path, made_from: dict[str, Any]) -> EncodedPart:
    description = json.loads((entry / "part.json").read_text(encoding="utf-8"))
    if _canonical(description["made_from"]) != _canonical(made_from):
        raise ValueError("made from something else")
    arrays = {}
    for file, crc32 in description["crc32"].items():
        if _crc32(entry / file) != crc32:
            raise ValueError(f"{file} is not what was written")
        # As plain arrays, which are as lazy: each slice of NumPy's memmap class costs microseconds.
        arrays[Path(file).stem] = np.asarray(np.load(entry / file, mmap_mode="r"))
    encoded = Encoded(arrays["tokens"], arrays["offsets"], arrays["full_lengths"])
    counts, unknown = description["counts"], description["unknown"]
    return EncodedPart(encoded, arrays["labels"], arrays["characters"], counts, unknown)


def _crc32(file: Path) -> int:
    """Of all bytes: a size alone would not do, as after a loss of power a file can have its size and hold zeros."""
    return zlib.crc32(np.memmap(file, np.uint8, "r").data)


def _canonical(made_from: dict[str, Any]) -> str:
    return json.dumps(made_from, sort_keys=True)


# What is left behind


def _remove_abandoned(folder: Path) -> None:
    """Removes what processes that died while writing have left.

    By age and not by process id: the cache may be shared by machines and containers, whose ids say nothing here.
    """
    for temporary in folder.glob(f"{TEMPORARY}*"):
        try:
            if time.time() - temporary.stat().st_mtime > _ABANDONED:
                shutil.rmtree(temporary, ignore_errors=True)
        except FileNotFoundError:  # another process has just renamed or removed it
            continue


def _discard(entry: Path) -> None:
    """Takes an entry away in one step, so that no other process finds half of it; nothing where it may not."""
    temporary = new_name(entry.parent)
    try:
        os.rename(entry, temporary)
    except OSError:
        return
    shutil.rmtree(temporary, ignore_errors=True)
