"""Texts without labels as data: file, address, checksum, columns. A new one is a YAML file."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Literal

from nsmc_lightning.data.corpus import Source, stays_below
from nsmc_lightning.data.download import fetch
from nsmc_lightning.data.raw_reviews import build_reviews
from nsmc_lightning.errors import UserError


@dataclass(frozen=True)
class RawCorpus:
    """A file of texts for pretraining.

    Args:
        file: path, below the data directory if there is one; with ``url`` also below the corpus's folder in the cache.
            tsv, csv, jsonl or parquet by its ending, otherwise a text a line.
        name: short name, also the name of its folder in the cache.
        url: address to download from; None if the file must already be there.
        archive: name of the tar.gz that ``url`` serves and that ``file`` comes from; None if ``url`` serves ``file``.
        build: how ``file`` is made from the archive: ``nsmc`` by ``raw_reviews.build_reviews``, None by extracting it.
        digest: sha256, in hex: of the rows if ``build`` makes them (``raw_reviews.rows_digest``), since the bytes of an
            archive that a server makes may change; otherwise of the download. None accepts any.
        text_column: name of the text column.
        id_column: name of the id column; None if there is none.
        rating_column: name of a column of numbers, the higher the better; None if there is none.
        licence: licence or citation of the texts.

    Raises:
        UserError: ``build`` has no archive to build from, or a file would be downloaded to outside of the cache.
    """

    file: str
    name: str = "texts"
    url: str | None = None
    archive: str | None = None
    build: Literal["nsmc"] | None = None
    digest: str | None = None
    text_column: str = "text"
    id_column: str | None = None
    rating_column: str | None = None
    licence: str = ""

    def __post_init__(self) -> None:
        if self.build is not None and self.archive is None:
            raise UserError(f"raw corpus {self.name}: build {self.build} needs archive, the name of a tar.gz.")
        if not stays_below(self.name) or len(PureWindowsPath(self.name).parts) > 1:
            raise UserError(f"raw corpus {self.name!r}: give a plain folder name, for its folder in the cache.")
        for key, path in {"file": self.file, "archive": self.archive}.items():
            if self.url is not None and path is not None and not stays_below(path):
                raise UserError(
                    f"raw corpus {self.name}: {key} {path!r} has a url and would be downloaded to outside of the "
                    "cache; give a relative path without '..'."
                )


def raw_path(corpus: RawCorpus, data_dir: Path | None, cache_dir: Path) -> Path:
    """Return where a raw corpus's file is; it is downloaded, and built from its archive, first if necessary.

    Args:
        corpus: describes the file.
        data_dir: the user's folder of the file, which is used as it is, or of its archive. None downloads, or without
            an address takes ``file`` from the working folder.
        cache_dir: folder for downloads, and for what is made of an archive.

    Raises:
        UserError: ``data_dir`` has neither file nor archive, there is nothing to download, or it is not the right one.
    """
    if corpus.url is None and data_dir is None:
        return Path(corpus.file)
    if corpus.build is None:
        source = Source(corpus.file, corpus.url, corpus.digest, corpus.archive)
        return fetch(source, data_dir, corpus.name, cache_dir)
    source = Source(corpus.file, corpus.url, archive=corpus.archive)
    return fetch(source, data_dir, corpus.name, cache_dir, partial(build_reviews, digest=corpus.digest))
