"""The contracts between the rooms of the package: batches from data to model, predictions back."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

TRAINED_PAD_ID = 0  # of [PAD] in a vocabulary that is trained here, so also of an encoder from scratch

NO_TARGET = -100  # that torch's cross-entropy ignores

MEASURES = ("accuracy", "f1", "precision", "recall", "loss")
"""What validation and test log, below ``val/`` and ``test/``."""


class Batch(NamedTuple):
    """B reviews as token ids in R rows of W slots: packed, several reviews end to end in a row, or padded, one a row.

    Shapes: ``rows`` int64 (B,), the number of each review in its part; ``input_ids`` int64 (R, W); ``attention_mask``
    int64 (R, W), on tokens 1 + the number of their review in this batch, 0 on padding; ``labels`` int64 (B,), or None
    where there are none (prediction); ``position_ids`` int64 (R, W), from 0 in each review; ``first_tokens`` int64
    (B,), where each review starts among the R · W slots. ``num_tokens``: slots that are not padding. ``packed``: False
    says that each review has a row to itself, in order and from the first slot, so that R is B.
    """

    rows: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None
    num_tokens: int
    position_ids: Tensor
    first_tokens: Tensor
    packed: bool


class MaskedBatch(NamedTuple):
    """B texts as in :class:`Batch`, of whose tokens M are hidden.

    Shapes: ``hidden`` int64 (M,), the hidden tokens' slots among the R · W; ``targets`` int64 (M,), their ids;
    ``ratings`` float32 (B,) from 0 to 1, NaN where a text has none, or None. All others are those of a batch.
    ``num_hidden``: of the M, which are filled up with slot 0 and the target :data:`NO_TARGET`.
    """

    rows: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    num_tokens: int
    position_ids: Tensor
    first_tokens: Tensor
    packed: bool
    hidden: Tensor
    targets: Tensor
    num_hidden: int
    ratings: Tensor | None


class Prediction(NamedTuple):
    """The model's output for B reviews: ``rows`` int64 (B,) as in the batch; ``probabilities`` float32 (B, classes).

    In test and prediction they are calibrated; in validation, which fits the temperature, they are not.
    """

    rows: Tensor
    probabilities: Tensor


@runtime_checkable
class CountsLabels(Protocol):
    """A data module that counts the classes that a module trains on."""

    def label_counts(self) -> dict[str, int]:
        """Return the training rows of each class, by its name, in the order of the classes.

        It is called after ``setup("fit")``.
        """


@dataclass(frozen=True)
class EncoderLimits:
    """What an encoder accepts, for the data module.

    ``vocab_size``: rows of the token embedding; ``max_length``: tokens a text may have, None where positions are not a
    table; ``pad_token_id``: the padding id of
    the encoder's configuration; ``packs_rows``: whether the encoder was found to compute packed rows exactly.
    """

    vocab_size: int
    max_length: int | None
    pad_token_id: int | None
    packs_rows: bool = False
