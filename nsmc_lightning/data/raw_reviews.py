"""The raw reviews of NSMC's repository, its test part left out: archive → reviews.parquet, each rule counted."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from tqdm import tqdm

from nsmc_lightning.data.clean import counts_table, has_text
from nsmc_lightning.data.corpus import NSMC, Source
from nsmc_lightning.data.download import tar_stream
from nsmc_lightning.errors import UserError, reason, report

REVIEWS, TEST_MOVIES = "reviews.parquet", "test_movies.parquet"

_SCHEMA = pa.schema([
    ("id", pa.int64()),
    ("text", pa.string()),
    ("rating", pa.int8()),
    ("movie_id", pa.int32()),
    ("date", pa.string()),
])  # fmt: skip
_MOVIE = re.compile(r"raw/\d+\.json")

PARTS = [source for source in (NSMC.train, NSMC.test) if source is not None]
"""NSMC's files of train and test, which the archive contains too."""


def build_reviews(archive: Path, folder: Path, digest: str | None) -> None:
    """Write ``reviews.parquet`` and ``test_movies.parquet`` to ``folder`` from an archive of NSMC's repository.

    Reviews have columns id (int64), text (str), rating (int8, 1 to 10), movie_id (int32), date (str, YY.MM.DD) and
    in_train (bool), are sorted by id, and share neither id nor, outside of NSMC, normalised text with the test part.
    Movies have the id, movie_id and date of each test row, sorted by id.

    Args:
        archive: a tar.gz of the repository e9t/nsmc; only what is needed is read of it, nothing is extracted.
        folder: an existing folder.
        digest: :func:`rows_digest` of the reviews; None accepts any.

    Raises:
        UserError: the archive is of something else, or ``digest`` is that of other reviews.
        tarfile.TarError, EOFError, zlib.error, OSError: the archive is damaged, or a file cannot be written.
    """
    raw, (train, test) = _read(archive)
    raw = raw.sort_values("id", kind="stable", ignore_index=True)
    reviews, counts = without_test(raw, train, test)
    found = rows_digest(reviews)
    if digest not in (None, found):
        raise UserError(
            f"{archive}: the digest of its {len(reviews):,} reviews is {found}, not {digest}, so they are refused.\n"
            "It may be of another commit: delete it to download it again, or give the folder of the right "
            f"{REVIEWS} with data_dir."
        )
    report(f"{archive.name}: reviews for pretraining\n{counts_table(counts)}")
    _write(reviews, _SCHEMA.append(pa.field("in_train", pa.bool_())), folder / REVIEWS)
    movies = raw[raw["id"].isin(test.keys())].drop_duplicates("id")
    _write(movies, pa.schema([_SCHEMA.field(name) for name in ("id", "movie_id", "date")]), folder / TEST_MOVIES)


def _write(rows: pd.DataFrame, schema: pa.Schema, path: Path) -> None:
    table = pa.Table.from_pandas(rows[schema.names], schema, preserve_index=False)
    pyarrow.parquet.write_table(table, path, compression="zstd")


def without_test(
    reviews: pd.DataFrame, train: Collection[int], test: Mapping[int, str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out repeated reviews, those without text, the test part, and other reviews with the text of a test row.

    Args:
        reviews: columns ``id`` (int) and ``text`` (str), and others, which are kept.
        train: ids of NSMC's training part, whose texts stay even if the test part repeats them, as they do in training.
        test: the test part's texts by id. Among them are some without letters, so that all such reviews are left out.

    Returns:
        The remaining reviews with a column ``in_train`` (bool); and the count of each rule.
    """
    test_letters = {letters(text) for text in test.values()}
    rules: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
        "repeated reviews": lambda rows: rows.duplicated("id"),  # a list of pages moves on while it is crawled
        "test part": lambda rows: rows["id"].isin(test.keys()),
        "no text": lambda rows: ~has_text(rows),
        "same text as a test review": lambda rows: ~rows["in_train"] & rows["text"].map(letters).isin(test_letters),
    }
    counts = {"rows in": len(reviews)}
    rows = reviews.assign(in_train=reviews["id"].isin(train))
    for rule, breaks in rules.items():
        dropped = breaks(rows)
        counts[rule] = int(dropped.sum())
        rows = rows[~dropped]
    counts["rows out"] = len(rows)
    return rows, counts


def letters(text: str) -> str:
    """Return a text's letters and digits, in lower case and NFKC: texts that differ in nothing else count as equal."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).lower()))


def rows_digest(reviews: pd.DataFrame) -> str:
    r"""Return the sha256, in hex, of a line ``id\ttext\trating\n`` in UTF-8 for each row, in the order of ids."""
    digest = hashlib.sha256()
    rows = reviews.sort_values("id", kind="stable")
    for number, text, rating in zip(rows["id"], rows["text"], rows["rating"], strict=True):
        digest.update(f"{number}\t{text}\t{rating}\n".encode())
    return digest.hexdigest()


# The archive


def _read(archive: Path) -> tuple[pd.DataFrame, list[dict[int, str]]]:
    """All reviews in the archive's order, and the texts by id of each of ``PARTS``."""
    movies: list[pa.RecordBatch] = []  # in columns: as Python objects, 700,000 reviews would take far more memory
    found: dict[str, bytes] = {}
    with tar_stream(archive) as tar:
        for member in tqdm(tar, desc=archive.name, unit=" files", disable=None):
            file = tar.extractfile(member) if member.isfile() else None
            _, _, name = member.name.partition("/")  # below the folder that is named after the commit
            if file is not None and _MOVIE.fullmatch(name):
                movies.append(_movie(f"{archive}, {member.name}", file.read()))
            elif file is not None and name in [part.file for part in PARTS]:
                found[name] = file.read()
    if not movies:
        raise UserError(f"{archive}: contains no raw/*.json; give an archive of the repository e9t/nsmc.")
    return pa.Table.from_batches(movies).to_pandas(), [_documents(archive, part, found) for part in PARTS]


def _movie(name: str, content: bytes) -> pa.RecordBatch:
    """The reviews in a movie's file, where every value is a string."""
    try:
        reviews = json.loads(content)
        columns = {
            "id": [int(review["review_id"]) for review in reviews],
            "text": [review["review"] for review in reviews],
            "rating": [int(review["rating"]) for review in reviews],
            "movie_id": [int(review["movie_id"]) for review in reviews],
            "date": [review["date"] for review in reviews],
        }
        return pa.RecordBatch.from_pydict(columns, _SCHEMA)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise UserError(f"{name}: is not a list of reviews ({type(error).__name__}: {reason(error)}).") from error


def _documents(archive: Path, part: Source, found: Mapping[str, bytes]) -> dict[int, str]:
    """The texts of a part by id; a part of another version of NSMC would leave out other rows."""
    if part.file not in found:
        raise UserError(f"{archive}: does not contain {part.file}; give an archive of the repository e9t/nsmc.")
    content = found[part.file]
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != part.sha256:
        raise UserError(
            f"{archive}: the sha256 of its {part.file} is {sha256}, not {part.sha256}: NSMC's test part would remain.\n"
            "Give an archive of the commit that the corpus's url names."
        )
    rows = (line.split("\t") for line in content.decode().removesuffix("\n").split("\n")[1:])
    return {int(number): text for number, text, _ in rows}
