"""Classifier: texts to predictions, from a checkpoint or an exported folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.data.batch import collate
from nsmc_lightning.data.clean import clean_text
from nsmc_lightning.data.corpus import Corpus, Label
from nsmc_lightning.data.encode import encode
from nsmc_lightning.data.sampler import EvalSampler
from nsmc_lightning.data.tokenizer import load_tokenizer
from nsmc_lightning.model.exported import load_exported
from nsmc_lightning.model.network import SequenceClassifier

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_MAX_TOKENS = 4096  # token slots in a batch
_MAX_LENGTH = 512  # tokens a text is cut to where neither tokenizer nor encoder has a limit

EXPORTED = "nsmc_lightning"
"""The key in an exported folder's ``config.json`` for what transformers has no key for."""


class _Loaded(NamedTuple):
    network: SequenceClassifier
    tokenizer: PreTrainedTokenizerFast
    max_length: int
    labels: list[Label]
    unit: str


class Classifier:
    """A trained classifier.

    Args:
        path: a checkpoint that ``fit``, or a plain ``Trainer``, wrote; or a folder that ``export``, or transformers'
            ``save_pretrained`` of a sequence classifier and its tokenizer, wrote.

    Attributes:
        labels: the classes, in the order of their probabilities.
        unit: the word for one text in Korean output.
        max_length: tokens a text is cut to.

    Raises:
        UserError: the file is missing or is no such checkpoint, or the folder holds no such classifier.
    """

    def __init__(self, path: str) -> None:
        loaded = _from_folder(path) if is_exported(path) else _from_checkpoint(path)
        self.network, self.tokenizer, self.max_length, self.labels, self.unit = loaded

    @torch.inference_mode()
    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """Calibrated probability of each class for each text, float32 (N, classes)."""
        encoded = encode(self.tokenizer, [clean_text(text) for text in texts], self.max_length)
        result = torch.zeros(len(texts), len(self.labels))
        for rows in EvalSampler(encoded.lengths, _MAX_TOKENS):
            batch = collate(encoded, None, rows, int(self.tokenizer.pad_token_id))
            result[batch.rows] = self.network.probabilities(batch)
        return result


def is_exported(path: str) -> bool:
    """Return whether a path is a folder of transformers rather than a run's."""
    return (Path(path) / "config.json").is_file()


def _from_checkpoint(path: str) -> _Loaded:
    checkpoint = Checkpoint.read(path)
    labels = [Label(**label) for label in checkpoint.corpus["labels"]]
    unit, max_length = checkpoint.corpus["korean_unit"], checkpoint.settings["data"]["max_length"]
    return _Loaded(checkpoint.network(), checkpoint.tokenizer(), max_length, labels, unit)


def _from_folder(path: str) -> _Loaded:
    network, tokenizer = load_exported(path), load_tokenizer(path)
    config: Any = network.encoder.config
    ours = getattr(config, EXPORTED, {})
    korean = ours.get("korean", {})
    names = [config.id2label[number] for number in range(config.num_labels)]
    labels = [Label(str(number), name, korean.get(name, "")) for number, name in enumerate(names)]
    longest = min(tokenizer.model_max_length, network.limits.max_length or _MAX_LENGTH)
    return _Loaded(network, tokenizer, longest, labels, ours.get("korean_unit", Corpus.korean_unit))
