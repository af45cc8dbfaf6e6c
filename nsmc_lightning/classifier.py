"""Classifier: texts to predictions, from a checkpoint alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.data.batch import collate
from nsmc_lightning.data.clean import clean_text
from nsmc_lightning.data.encode import encode
from nsmc_lightning.data.sampler import EvalSampler

_MAX_TOKENS = 4096  # token slots in a batch


class Classifier:
    """A trained classifier.

    Args:
        ckpt_path: a checkpoint that ``fit``, or a plain ``Trainer``, wrote.

    Raises:
        UserError: the file is missing or is no such checkpoint.
    """

    def __init__(self, ckpt_path: str) -> None:
        checkpoint = Checkpoint.read(ckpt_path)
        self.labels = checkpoint.corpus["labels"]
        self.unit = checkpoint.corpus["korean_unit"]
        self.max_length = checkpoint.settings["data"]["max_length"]
        self.network, self.tokenizer = checkpoint.network(), checkpoint.tokenizer()

    @torch.inference_mode()
    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """Calibrated probability of each class for each text, float32 (N, classes)."""
        encoded = encode(self.tokenizer, [clean_text(text) for text in texts], self.max_length)
        result = torch.zeros(len(texts), len(self.labels))
        for rows in EvalSampler(encoded.lengths, _MAX_TOKENS):
            batch = collate(encoded, None, rows, int(self.tokenizer.pad_token_id))
            result[batch.rows] = self.network.probabilities(batch)
        return result
