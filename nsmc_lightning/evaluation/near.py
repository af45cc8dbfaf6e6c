"""Texts that are nearly equal: all pairs with a Jaccard similarity above a threshold, found exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

THRESHOLD = 0.8
"""Least Jaccard similarity of the sets of character n-grams, as usual for web texts (Lee et al. 2022, arXiv
2107.06499, have it for 5-grams of words)."""

_SHORT, _LONG = 3, 8  # characters of an n-gram; in long texts hardly a trigram is rare, and all would be compared
_LONG_TEXT = 100  # characters
_BLOCK = 1_000_000  # pairs of a text and an n-gram that are held in memory at once
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, of 64 bits: two of a billion n-grams hardly share a number


class Nearest(NamedTuple):
    """The most similar other text of each text, in each of P parts.

    *Shape:* ``similarity`` float (P, T), 0 where no text of the part is similar; ``text`` int (P, T), -1 there.
    """

    similarity: np.ndarray
    text: np.ndarray


def nearest(texts: Sequence[str], members: np.ndarray, threshold: float = THRESHOLD) -> Nearest:
    """Find the most similar other text of each text.

    The similarity of two texts is the share of their n-grams that both have, each counted once (Jaccard). N-grams have
    3 characters, or 8 where most texts have 100 characters or more; a text shorter than that has none.

    Args:
        texts: T different texts.
        members: which texts a part has, bool (P, T).
        threshold: least similarity, above 0.
    """
    found = Nearest(np.zeros(members.shape), np.full(members.shape, -1, dtype=np.int64))
    for first, second, similarity in _similar_pairs(_ngrams(texts), threshold):
        _keep_best(found, members, first, second, similarity)
        _keep_best(found, members, second, first, similarity)
    return found


def _keep_best(
    found: Nearest, members: np.ndarray, texts: np.ndarray, others: np.ndarray, similarity: np.ndarray
) -> None:
    for part, has in enumerate(members):
        better = np.flatnonzero(has[others] & (similarity > found.similarity[part, texts]))
        better = better[np.argsort(similarity[better], kind="stable")]  # of one text's pairs, the last is assigned
        found.similarity[part, texts[better]] = similarity[better]
        found.text[part, texts[better]] = others[better]


def _ngrams(texts: Sequence[str]) -> sparse.csr_matrix:
    """Return which n-grams each text has, (T, n-grams) of ones, the rarest n-grams in the first columns."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    size = _LONG if 2 * np.sum(lengths >= _LONG_TEXT) > len(texts) else _SHORT
    # utf-32 has four bytes for each character, half of a surrogate pair among them.
    characters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    rows = np.repeat(np.arange(len(texts)), lengths)
    windows = max(len(characters) - size + 1, 0)
    numbers = np.zeros(windows, dtype=np.uint64)
    for offset in range(size):
        numbers = numbers * _FACTOR + characters[offset : offset + windows] + np.uint64(1)
    inside = rows[:windows] == rows[len(rows) - windows :]  # begin and end in the same text
    columns = np.unique(numbers[inside], return_inverse=True)[1]
    rows = rows[:windows][inside]
    return _rarest_first(
        sparse.csr_matrix(
            (np.ones(len(rows), dtype=np.int32), (rows, columns)), (len(texts), max(columns, default=-1) + 1)
        )
    )


def _rarest_first(grams: sparse.csr_matrix) -> sparse.csr_matrix:
    grams.sum_duplicates()
    grams.data[:] = 1
    rank = np.empty(grams.shape[1], dtype=np.int64)
    rank[np.argsort(np.bincount(grams.indices, minlength=grams.shape[1]), kind="stable")] = np.arange(grams.shape[1])
    ranked = sparse.csr_matrix((grams.data, rank[grams.indices], grams.indptr), grams.shape)
    ranked.sort_indices()
    return ranked


def _similar_pairs(grams: sparse.csr_matrix, threshold: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the pairs of similar texts and their similarity, a block after another, each pair once.

    Two sets of similarity t share at least t of the larger one, so they share one of its first n-grams even if only
    the rest is common: whatever the order, pairs without a common one among these need not be compared (Bayardo et al.
    2007, "Scaling up all pairs similarity search"). With the rarest first, few pairs have one.
    """
    sizes = np.diff(grams.indptr)
    first = _first_columns(grams, sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1)
    having = first.T.tocsr()
    work = np.cumsum(first @ np.diff(having.indptr))
    for block in np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(work // _BLOCK)) + 1):
        common = (first[block] @ having).tocoo()
        one, other = block[common.row], common.col
        smaller, larger = np.minimum(sizes[one], sizes[other]), np.maximum(sizes[one], sizes[other])
        candidates = (one < other) & (smaller >= threshold * larger - 1e-9)
        one, other = one[candidates], other[candidates]
        both = np.asarray(grams[one].multiply(grams[other]).sum(axis=1)).ravel()
        similarity = both / (sizes[one] + sizes[other] - both)
        similar = similarity >= threshold - 1e-9
        yield one[similar], other[similar], similarity[similar]


def _first_columns(grams: sparse.csr_matrix, counts: np.ndarray) -> sparse.csr_matrix:
    """Return the first ``counts`` entries of each row; an empty row has none."""
    sizes = np.diff(grams.indptr)
    counts = np.minimum(counts, sizes)
    kept = np.arange(grams.nnz) - np.repeat(grams.indptr[:-1], sizes) < np.repeat(counts, sizes)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return sparse.csr_matrix((grams.data[kept], grams.indices[kept], starts), grams.shape)
