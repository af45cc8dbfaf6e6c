"""An encoder whose embedding has rows for a part of the vocabulary only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from torch import nn

from nsmc_lightning.errors import UserError, reason
from nsmc_lightning.model.backbone import config_of_checkpoint, load_encoder
from nsmc_lightning.model.families import first_position


class Size(NamedTuple):
    """Parameters of an encoder's embedding and of all of it, and the bytes of its tensors in a file."""

    embedding: int
    parameters: int
    file_bytes: int

    @classmethod
    def of(cls, encoder: transformers.PreTrainedModel) -> Size:
        """Measure an encoder."""
        table: Any = encoder.get_input_embeddings()
        stored = sum(tensor.numel() * tensor.element_size() for tensor in encoder.state_dict().values())
        return cls(table.weight.numel(), sum(weight.numel() for weight in encoder.parameters()), stored)


def load_stored(backbone: str) -> transformers.PreTrainedModel:
    """Load the encoder of a hub id or a folder as it is stored: in its dtype, with its pooler if it has one.

    Raises:
        UserError: it cannot be read, is not an encoder of the BERT kind, or lacks some of its tensors.
    """
    with torch.device("meta"):  # builds it without weights: for its refusals
        load_encoder(backbone, pretrained=False, need_pooler=False)
    config = config_of_checkpoint(backbone)
    config.dtype = None  # that of the weights counts, from which config.json may differ
    try:
        encoder, report = transformers.AutoModel.from_pretrained(
            backbone, config=config, dtype="auto", output_loading_info=True, trust_remote_code=False
        )
    except Exception as error:  # hub, safetensors, pickle and torch each raise errors of their own
        raise UserError(f"--backbone {backbone}: its weights cannot be loaded ({reason(error)}).") from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise UserError(
            f"--backbone {backbone}: lacks {len(missing)} of the encoder's tensors ({', '.join(missing[:3])}).\n"
            "Give a pretrained encoder with all of its weights."
        )
    if report["missing_keys"]:
        encoder.pooler = None  # its random weights must not look like trained ones
    return encoder


def special_ids(config: transformers.PretrainedConfig) -> set[int]:
    """Return the token ids that an encoder's configuration depends on: those of its keys, and those below padding.

    RoBERTa's family counts positions from the id of padding, which must therefore keep its number.
    """
    named = {number for value in _named_ids(config).values() for number in value}
    return named | set(range(first_position(config)))


def cut_encoder(encoder: transformers.PreTrainedModel, kept: np.ndarray) -> None:
    """Cut the rows of an encoder's embedding, and renumber the ids in its configuration.

    Args:
        encoder: from :func:`load_stored`; it is changed.
        kept: int64 (K,), the token ids that stay; each becomes its place in this array.
    """
    table: Any = encoder.get_input_embeddings()
    table.weight = nn.Parameter(table.weight.detach()[torch.from_numpy(kept)])
    table.num_embeddings = len(kept)
    config = encoder.config
    config.vocab_size = len(kept)
    new = {int(old): number for number, old in enumerate(kept)}
    for key, value in _named_ids(config).items():
        moved = [new[old] for old in value if old in new]  # an id without a piece never occurs
        setattr(config, key, moved if isinstance(getattr(config, key), list) else next(iter(moved), None))


def largest_difference(
    one: transformers.PreTrainedModel,
    other: transformers.PreTrainedModel,
    inputs: tuple[torch.Tensor, torch.Tensor],
    mask: torch.Tensor,
) -> float:
    """Return the largest difference between the states that two encoders give to a padded batch, padding excluded.

    Args:
        one: an encoder.
        other: another one.
        inputs: token ids for each of the two, int64 (B, T).
        mask: int64 (B, T), 0 at padding.
    """
    with torch.inference_mode():
        states = [
            encoder.eval()(input_ids=ids, attention_mask=mask)[0][mask.bool()]
            for encoder, ids in zip((one, other), inputs, strict=True)
        ]
    return float((states[0] - states[1]).abs().max())


def _named_ids(config: transformers.PretrainedConfig) -> dict[str, list[int]]:
    """The special ids that a configuration names, by key: pad_token_id and its like; some are lists."""
    named = {key: value for key, value in config.to_dict().items() if key.endswith("_token_id") and value is not None}
    return {key: value if isinstance(value, list) else [value] for key, value in named.items()}
