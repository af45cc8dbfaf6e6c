"""Which tokens of a text are hidden, and what replaces them: masked-language modelling of whole eojeols."""

from typing import NamedTuple

import numpy as np

_MASKED, _REPLACED = 0.8, 0.1  # of the hidden tokens; the others stay (Devlin et al. 2019, section 3.1)


class Masking(NamedTuple):
    """How texts are masked.

    Args:
        rate: share of the eojeols that are hidden.
        mask_token_id: the tokenizer's [MASK].
        other_ids: int64, ids that a hidden token may be replaced with.
        seed: decides, with the epoch and the text's number, what is hidden.
    """

    rate: float
    mask_token_id: int
    other_ids: np.ndarray
    seed: int


class Masked(NamedTuple):
    """A masked text of T tokens: ``hidden`` bool (T,), the tokens to predict; ``shown`` int64 (T,), what is read."""

    hidden: np.ndarray
    shown: np.ndarray


def mask_text(tokens: np.ndarray, eojeols: np.ndarray, text: int, epoch: int, masking: Masking) -> Masked:
    """Hide each eojeol of a text with the probability ``masking.rate``, all of its tokens at once.

    With single tokens hidden, the rest of a word gives them away (whole word masking, Cui et al. 2019). Of the hidden
    tokens 80 % become [MASK] and 10 % another token.

    Args:
        tokens: (T,), ids of the text.
        eojeols: (T,), number of each token's eojeol, 0 on special tokens.
        text: number of the text, which decides with the epoch and the seed what is hidden: the result does not depend
            on batches, processes or resumed runs.
        epoch: from 0.
        masking: the settings.
    """
    random = np.random.default_rng([masking.seed, epoch, text])
    chosen = random.random(int(eojeols.max(initial=0)) + 1) < masking.rate
    chosen[0] = False  # special tokens
    hidden = chosen[eojeols]
    fate = random.random(len(tokens))
    others = masking.other_ids[random.integers(len(masking.other_ids), size=len(tokens))]
    instead = np.where(fate < _MASKED, masking.mask_token_id, np.where(fate < _MASKED + _REPLACED, others, tokens))
    return Masked(hidden, np.where(hidden, instead, tokens).astype(np.int64))
