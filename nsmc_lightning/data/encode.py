"""Texts to token ids: one flat array for a whole part, and where each review starts in it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerFast

_CHUNK = 10_000  # texts handed to the tokenizer at once: enough to use every core, little memory


class Encoded(NamedTuple):
    """The token ids of N reviews, special tokens included.

    Shapes: ``tokens`` int32 (all tokens,); ``offsets`` int64 (N + 1,), review i is
    ``tokens[offsets[i] : offsets[i + 1]]``; ``full_lengths`` int32 (N,), tokens before truncation.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    full_lengths: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each review after truncation, int64 (N,)."""
        return np.diff(self.offsets)

    def ids(self, row: int) -> np.ndarray:
        """Token ids of one review, int32 (T,)."""
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], max_length: int) -> Encoded:
    """Encodes texts, each cut to ``max_length`` tokens with its closing special token kept.

    A special token spelled out in a text, such as "[SEP]", stays ordinary text.
    """
    ids: list[np.ndarray] = []
    full_lengths = np.zeros(len(texts), dtype=np.int32)
    for start in range(0, len(texts), _CHUNK):
        chunk = list(texts[start : start + _CHUNK])
        whole = _ids(tokenizer, chunk, max_length=None)
        full_lengths[start : start + len(chunk)] = [len(one) for one in whole]
        too_long = [i for i, one in enumerate(whole) if len(one) > max_length]
        if too_long:
            for i, cut in zip(too_long, _ids(tokenizer, [chunk[i] for i in too_long], max_length), strict=True):
                whole[i] = cut
        ids.extend(np.asarray(one, dtype=np.int32) for one in whole)
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(one) for one in ids], out=offsets[1:])
    tokens = np.concatenate(ids) if ids else np.zeros(0, dtype=np.int32)
    return Encoded(tokens, offsets, full_lengths)


def _ids(tokenizer: PreTrainedTokenizerFast, texts: list[str], max_length: int | None) -> list[list[int]]:
    output = tokenizer(
        texts,
        truncation=max_length is not None,
        max_length=max_length,
        return_attention_mask=False,
        return_token_type_ids=False,
        split_special_tokens=True,
        verbose=False,  # lengths above the tokenizer's own limit are ours to judge
    )
    return output["input_ids"]
