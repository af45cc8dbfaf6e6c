"""The token cache: encoded parts on disk, each under a key of everything that decides its tokens.

An entry is one ``.npz`` file, named after the hash of its key: another corpus file, tokenizer, setting or rule is
another entry, so entries never go out of date. The folder can be deleted at any time.
"""

import hashlib
import importlib.metadata
import json
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.encode import Encoded, EncodedPart
from nsmc_lightning.errors import reason, report, warn
from nsmc_lightning.files import whole_file

Key = dict[str, Any]

_FOLDER = Path(__file__).parent
# Files of this folder that do not decide a text's tokens. All others count by their content, so that no change and no
# new file can be forgotten.
_NO_RULES = (
    *("__init__", "batch", "demo", "download", "groups", "loader", "masked_batch", "masking", "module", "raw_corpus"),
    *("raw_module", "raw_reviews", "resume", "sampler", "texts", "vocabulary"),
)
_LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "tokenizers")
_DAMAGE = (OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile, zlib.error)


class TokenCache:
    """The encoded parts below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writable = True

    def load_or_make(self, key: Key, make: Callable[[], EncodedPart]) -> EncodedPart:
        """Return the entry under ``key``; a missing or damaged one is made and stored.

        A folder that cannot be written costs one warning.

        Args:
            key: everything that decides the entry's content, as JSON types.
            make: makes the content.
        """
        path = self.path(key)
        if path.exists():
            try:
                return _load(path)
            except _DAMAGE as error:
                report(f"{path}: damaged ({reason(error)}); encoding again.")
        made = make()
        if self._writable:
            try:
                _store(path, made)
            except OSError as error:
                self._writable = False
                warn(f"{self.folder}: cannot keep tokens for the next run ({error.strerror}).")
        return made

    def path(self, key: Key) -> Path:
        """Return the entry's file, whether it exists or not."""
        return self.folder / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]}.npz"


def token_key(rows: Key, tokenizer: PreTrainedTokenizerFast, max_length: int) -> Key:
    """Return the key of a part's tokens.

    Args:
        rows: the key of the part's rows.
        tokenizer: encodes them.
        max_length: tokens that a review is cut to.
    """
    fingerprint = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
    return {"rows": rows, "tokenizer": fingerprint, "max_length": max_length, "rules": rules_digest()}


@cache
def rules_digest() -> str:
    """Return the sha256 of the code that turns a file into tokens, and of the versions of the libraries it calls."""
    digest = hashlib.sha256()
    for path in sorted(_FOLDER.rglob("*.py")):
        if path.relative_to(_FOLDER).parts[0].removesuffix(".py") not in _NO_RULES:
            digest.update(path.read_bytes())
    versions = [importlib.metadata.version(library) for library in _LIBRARIES]
    digest.update(" ".join([*versions, unicodedata.unidata_version]).encode())
    return digest.hexdigest()


def texts_digest(path: Path, folders: Sequence[str]) -> str:
    """Return the sha256 of the names and bytes of the texts in those folders of ``path``.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for text in sorted(text for folder in folders for text in (path / folder).glob("*.txt")):
        content = text.read_bytes()
        digest.update(f"{text.relative_to(path)}\0{len(content)}\0".encode(errors="surrogateescape"))
        digest.update(content)
    return digest.hexdigest()


def _store(path: Path, part: EncodedPart) -> None:
    reviews = part.reviews
    arrays: dict[str, Any] = {
        "tokens": reviews.tokens,
        "offsets": reviews.offsets,
        "full_lengths": reviews.full_lengths,
        **({} if reviews.eojeols is None else {"eojeols": reviews.eojeols}),
        "labels": part.labels,
        "characters": part.characters,
        "about": np.array(json.dumps({"counts": part.counts, "unknown": part.unknown})),
    }
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def _load(path: Path) -> EncodedPart:
    with np.load(path) as arrays:  # the zip format has a checksum for each array
        eojeols = arrays.get("eojeols")
        reviews = Encoded(arrays["tokens"], arrays["offsets"], arrays["full_lengths"], eojeols)
        about = json.loads(str(arrays["about"]))
        return EncodedPart(reviews, arrays["labels"], arrays["characters"], about["counts"], about["unknown"])
