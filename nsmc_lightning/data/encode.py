"""Texts to token ids: one flat array for a part, and where each review starts in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.eojeol import eojeol_numbers
from nsmc_lightning.data.preflight import unknown_warning

if TYPE_CHECKING:
    import pandas as pd

_CHUNK = 10_000  # texts per call of the tokenizer: enough for every core, little memory
_UNKNOWN_SAMPLE = 2_000  # reviews searched for unknown tokens: ±2 points at 95 % confidence


@dataclass(frozen=True)
class Encoded:
    """The token ids of N reviews, special tokens included.

    *Shape:* ``tokens`` (all tokens,), uint16 if that holds every id, as for Korean vocabularies, else int32;
    ``offsets`` int64 (N + 1,), review i is ``tokens[offsets[i] : offsets[i + 1]]``; ``full_lengths`` int32 (N,), tokens
    before truncation; ``eojeols`` uint16 (all tokens,), the number of each token's eojeol in its review, from 1, and 0
    on special tokens, or None where nothing asked for it.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    full_lengths: np.ndarray
    eojeols: np.ndarray | None = None

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each review after truncation, int64 (N,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class EncodedPart:
    """The N reviews of a part, encoded.

    Args:
        reviews: their tokens.
        labels: int64 (N,); of raw texts their ratings, float32 (N,) from 0 to 1, NaN where a text has none.
        characters: int32 (N,), length of each text after cleaning.
        counts: what cleaning did to the part's file.
        unknown: a warning about tokens unknown to the tokenizer, or None.
    """

    reviews: Encoded
    labels: np.ndarray
    characters: np.ndarray
    counts: dict[str, int]
    unknown: str | None


def encode_part(
    tokenizer: PreTrainedTokenizerFast,
    texts: pd.Series,
    labels: np.ndarray,
    counts: dict[str, int],
    max_length: int,
    with_eojeols: bool = False,
) -> EncodedPart:
    """Encode a part.

    Args:
        tokenizer: from ``load_tokenizer`` or ``train_tokenizer``.
        texts: of the part after cleaning, N of them.
        labels: (N,), labels or ratings.
        counts: what cleaning did to the part's file.
        max_length: tokens a review is cut to.
        with_eojeols: number the eojeols too, which takes longer.
    """
    listed = texts.tolist()
    sample = texts.sample(min(len(texts), _UNKNOWN_SAMPLE), random_state=0)
    return EncodedPart(
        reviews=encode(tokenizer, listed, max_length, with_eojeols),
        labels=labels,
        characters=np.fromiter(map(len, listed), dtype=np.int32, count=len(listed)),
        counts=counts,
        unknown=unknown_warning(tokenizer, sample.tolist()),
    )


def encode(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], max_length: int, with_eojeols: bool = False
) -> Encoded:
    """Encode texts, each cut to ``max_length`` tokens including its special tokens.

    A special token spelled out in a text, such as "[SEP]", is encoded as plain text: see ``load_tokenizer``.
    """
    backend = tokenizer.backend_tokenizer  # faster: no Python list per review
    special = backend.num_special_tokens_to_add(False)
    encode_batch = backend.encode_batch if with_eojeols else backend.encode_batch_fast  # the fast one has no offsets
    tokens, eojeols = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.uint16)]
    lengths, full_lengths = (np.zeros(len(texts), dtype=np.int32) for _ in range(2))
    backend.no_padding()  # a tokenizer.json may turn it on
    backend.enable_truncation(max_length)
    for start in range(0, len(texts), _CHUNK):
        chunk = list(texts[start : start + _CHUNK])
        reviews = encode_batch(chunk)
        rows = slice(start, start + len(reviews))
        tokens.append(np.fromiter(chain.from_iterable(review.ids for review in reviews), dtype=np.int32))
        if with_eojeols:
            eojeols.append(eojeol_numbers(chunk, reviews))
        lengths[rows] = [len(review) for review in reviews]
        # What was cut off comes in pieces of at most max_length, each with special tokens of its own.
        full_lengths[rows] = [
            len(review) + sum(len(piece) - special for piece in review.overflowing) for review in reviews
        ]
    backend.no_truncation()
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    ids = np.concatenate(tokens)
    smallest = np.uint16 if ids.max(initial=0) <= np.iinfo(np.uint16).max else np.int32
    return Encoded(ids.astype(smallest), offsets, full_lengths, np.concatenate(eojeols) if with_eojeols else None)
