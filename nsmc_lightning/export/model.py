"""A checkpoint's network as the classifier that transformers has for its encoder's family."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.classifier import EXPORTED
from nsmc_lightning.errors import UserError
from nsmc_lightning.export.fill import fill
from nsmc_lightning.model.backbone import load_classifier
from nsmc_lightning.model.families import PADDED_POSITIONS, first_position
from nsmc_lightning.model.family_head import FamilyHead, classifier_weights, take_encoder
from nsmc_lightning.model.network import SequenceClassifier

_LENGTH = 5  # tokens of the text that is tried
_TOLERANCE = 1e-4  # of logits, a share of the largest


class Exported(NamedTuple):
    """A classifier of transformers with a network's weights.

    Args:
        model: in evaluation mode, float32.
        passed_on: whether a dense layer of its head only passes its input on, as :mod:`~nsmc_lightning.export.fill`
            explains.
    """

    model: PreTrainedModel
    passed_on: bool


def family_model(checkpoint: Checkpoint, network: SequenceClassifier, tokenizer: PreTrainedTokenizerFast) -> Exported:
    """Build the ``…ForSequenceClassification`` that computes what a checkpoint's network computes.

    Raises:
        UserError: no class of transformers computes it.
    """
    config = network.encoder.config
    if config.model_type in PADDED_POSITIONS and first_position(config) != tokenizer.pad_token_id + 1:
        raise UserError(
            f"--ckpt_path {checkpoint.path}: no export, as its tokenizer pads with {tokenizer.pad_token_id}, and "
            f"transformers takes the token {first_position(config) - 1} of {config.model_type} encoders for padding."
        )
    exported = _with_weights(checkpoint, network)
    if not _divide_logits(exported.model, network.temperature):
        raise UserError(
            f"--ckpt_path {checkpoint.path}: no export, as the last layer of transformers' classifier of "
            f"{config.model_type} encoders cannot take the temperature.\n"
            "`classify` and `predict` take this checkpoint as it is."
        )
    _describe(exported.model, checkpoint, tokenizer)
    return exported


@torch.no_grad()
def _with_weights(checkpoint: Checkpoint, network: SequenceClassifier) -> Exported:
    settings, labels = checkpoint.settings["model"], len(checkpoint.corpus["labels"])
    refusal = UserError(
        f"--ckpt_path {checkpoint.path}: no export, as transformers has no classifier of "
        f"{network.encoder.config.model_type} encoders that computes model.pooling {settings['pooling']}.\n"
        "Train with --model.pooling head to export; `classify` and `predict` take this checkpoint as it is."
    )
    try:
        model = load_classifier(checkpoint.backbone, False, labels, settings["dropout"]).eval()
        if isinstance(network.head, FamilyHead):
            stored = classifier_weights(model, network.state_dict())
            model.load_state_dict({name: _two_rows(stored[name], like) for name, like in model.state_dict().items()})
            return Exported(model, passed_on=False)
        encoder, head = take_encoder(model)
    except UserError as error:
        raise refusal from error
    states = network.encoder.state_dict()  # without a pooler that the family's head may read
    encoder.load_state_dict({name: states.get(name, like) for name, like in encoder.state_dict().items()})
    passed_on = fill(encoder, head, network, settings["pooling"])
    if passed_on is None:
        raise refusal
    setattr(model, model.base_model_prefix, encoder)
    return Exported(model, passed_on)


def _two_rows(tensor: Tensor, like: Tensor) -> Tensor:
    """Put a row of zeros before the only row of a sigmoid's layer, which gives the logits (0, z)."""
    return tensor if tensor.shape == like.shape else torch.cat([torch.zeros_like(tensor), tensor])


@torch.no_grad()
def _divide_logits(model: PreTrainedModel, temperature: float) -> bool:
    """Divide the last layer of the head, and so the logits; return whether a trial finds them divided."""
    if temperature == 1.0:
        return True
    before = _logits(model)
    encoder = f"{model.base_model_prefix}."
    parts = model.named_modules()
    layers = [part for name, part in parts if isinstance(part, nn.Linear) and not name.startswith(encoder)]
    for parameter in layers[-1].parameters() if layers else ():
        parameter.div_(temperature)
    expected = before / temperature
    tolerance = _TOLERANCE * max(1.0, float(expected.abs().max()))
    return torch.allclose(_logits(model), expected, rtol=0, atol=tolerance)


def _logits(model: PreTrainedModel) -> Tensor:
    ids = torch.arange(_LENGTH)[None] % model.config.vocab_size
    return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def _describe(model: PreTrainedModel, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerFast) -> None:
    config, names = model.config, [label["name"] for label in checkpoint.corpus["labels"]]
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}
    config.problem_type = "single_label_classification"
    korean = {label["name"]: label["korean"] for label in checkpoint.corpus["labels"] if label["korean"]}
    setattr(config, EXPORTED, {"korean": korean, "korean_unit": checkpoint.corpus["korean_unit"]})
    if config.model_type not in PADDED_POSITIONS:  # which count positions from it
        config.pad_token_id = tokenizer.pad_token_id
