"""The network in a folder of transformers: an encoder with the classification head of its family."""

from __future__ import annotations

from typing import Any

import torch
import transformers  # loads each of its names at its first use

from nsmc_lightning.errors import UserError, reason
from nsmc_lightning.model.family_head import take_encoder
from nsmc_lightning.model.fast.kernels import choose_kernels, use_kernels
from nsmc_lightning.model.network import SequenceClassifier
from nsmc_lightning.model.weights import quiet


def load_exported(folder: str) -> SequenceClassifier:
    """Load a folder that ``export`` or transformers' ``save_pretrained`` wrote, in float32 and in evaluation mode.

    The names of its classes are in ``network.encoder.config.id2label``.

    Raises:
        UserError: it holds no classifier of single sentences, or one whose head is not a function of one vector.
    """
    try:
        with quiet():
            model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=False, local_files_only=True
            )
    except Exception as error:  # JSON, safetensors, pickle and torch each raise errors of their own
        raise UserError(f"--ckpt_path {folder}: cannot load this folder ({reason(error)}).") from error
    if problem := _problem(model.config, sorted(info["missing_keys"])):
        raise UserError(
            f"--ckpt_path {folder}: {problem}.\nGive a checkpoint of this package, or the folder of a text classifier "
            "that `export` or transformers wrote."
        )
    labels = model.config.num_labels
    encoder, head = take_encoder(model.eval())
    network = SequenceClassifier(encoder, labels, "head", family_head=head)
    use_kernels(encoder, choose_kernels(encoder, torch.float32))
    return network.eval()


def _problem(config: Any, missing: list[str]) -> str | None:
    if missing:
        return f"it lacks {len(missing)} tensors of a {config.model_type} classifier ({', '.join(missing[:3])})"
    if config.num_labels < 2 or config.problem_type not in (None, "single_label_classification"):
        return f"its model gives {config.num_labels} number(s) of {config.problem_type}, not one of several classes"
    return None
