"""The eojeol of each token: the words between white space, which Korean writes with their particles and endings."""

from collections.abc import Sequence

import numpy as np
from tokenizers import Encoding

_SPACES = np.array([code for code in range(0x3001) if chr(code).isspace()], dtype=np.uint32)  # U+3000 is the last


def eojeol_numbers(texts: Sequence[str], encodings: Sequence[Encoding]) -> np.ndarray:
    """Number the eojeols of each text from 1, and give every token the number of its own.

    Ids alone do not show them: WordPiece splits "재밌다!" as it splits "재밌다 !". What a tokenizer puts in front of an
    eojeol for the space before it belongs to that eojeol.

    Args:
        texts: N texts.
        encodings: of these, from ``encode_batch``, whose offsets are in characters.

    Returns:
        uint16 (all tokens,), text after text; 0 on special tokens.
    """
    joined = np.frombuffer("\n".join(texts).encode("utf-32-le"), dtype=np.uint32)
    space = np.isin(joined, _SPACES)
    begins = ~space & np.concatenate([[True], space[:-1]])
    at = np.cumsum(begins) + space  # a space has the number of the eojeol behind it
    first = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]  # of each text among the joined characters
    lengths = np.fromiter(map(len, encodings), dtype=np.int64, count=len(encodings))
    spans = np.array([span for encoding in encodings for span in encoding.offsets], dtype=np.int64).reshape(-1, 2)
    special = np.array([flag for encoding in encodings for flag in encoding.special_tokens_mask], dtype=bool)
    text = np.repeat(np.arange(len(texts)), lengths)
    last = np.maximum(spans[:, 1] - 1, spans[:, 0])  # a token may begin with the space before its eojeol
    place = np.minimum(first[text] + last, max(len(joined) - 1, 0))
    before = (at - begins)[np.minimum(first, max(len(joined) - 1, 0))]
    numbers = at[place] - before[text]
    return np.where(special, 0, numbers).astype(np.uint16)
