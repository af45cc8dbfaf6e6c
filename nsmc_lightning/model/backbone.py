"""Hub id, folder or from-scratch configuration → encoder, or the whole classifier of its family."""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

import transformers  # loads each of its names at its first use: --help needs none
from torch import nn

from nsmc_lightning.errors import UserError, reason, report
from nsmc_lightning.model.families import ATTENTION_DROPOUT, PADDED_POSITIONS
from nsmc_lightning.model.weights import load_model, name_of, quiet, refusals
from nsmc_lightning.types import TRAINED_PAD_ID

# The families' names for dropout on hidden states.
_HIDDEN_DROPOUT = ("hidden_dropout_prob", "dropout", "mlp_dropout", "embedding_dropout", "hidden_dropout")
# Keys of the first BERTs' config.json, from before model_type; ALBERT's and ELECTRA's have embedding_size besides.
_EARLY_BERT = {"hidden_size", "intermediate_size", "max_position_embeddings", "num_attention_heads",
               "num_hidden_layers", "type_vocab_size", "vocab_size"}  # fmt: skip
# Their names for dropout in the classification head; families without one of these take that on hidden states.
_HEAD_DROPOUT = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "cls_dropout")


def load_encoder(
    backbone: str | dict[str, Any],
    pretrained: bool,
    need_pooler: bool,
    hidden_dropout: float | None = None,
    attention_dropout: float | None = None,
) -> transformers.PreTrainedModel:
    """Build an encoder in float32 and in training mode, without running any code of a checkpoint.

    All rows of its embeddings learn, including the configuration's padding: the tokenizer may pad with another id.

    Args:
        backbone: hub id or folder of a checkpoint, or a configuration with ``model_type`` for random weights.
        pretrained: False reads only ``config.json`` and leaves the weights random.
        need_pooler: whether the head uses the encoder's pooler.
        hidden_dropout: replaces the configuration's dropout on hidden states.
        attention_dropout: replaces the configuration's dropout on attention weights.

    Raises:
        UserError: the checkpoint or configuration cannot be read, the model is not an encoder, or it has no pooler or
            no such dropout.
    """
    config = _configured(backbone, hidden_dropout, attention_dropout)
    encoder = load_model(transformers.AutoModel, backbone, pretrained, config, _options(config, need_pooler))
    if need_pooler and getattr(encoder, "pooler", None) is None:
        raise UserError(
            f"--model.pooling pooler: {name_of(backbone)} ({config.model_type}) has no pooler: use cls or mean."
        )
    return encoder


def load_classifier(
    backbone: str | dict[str, Any],
    pretrained: bool,
    num_outputs: int,
    dropout: float | None = None,
    hidden_dropout: float | None = None,
    attention_dropout: float | None = None,
) -> transformers.PreTrainedModel:
    """Build the ``…ForSequenceClassification`` of an encoder's family, as :func:`load_encoder` builds an encoder.

    A head in the checkpoint is loaded; what it lacks of the head is random.

    Args:
        backbone: as for :func:`load_encoder`.
        pretrained: as for :func:`load_encoder`.
        num_outputs: number of logits.
        dropout: replaces the configuration's dropout in the head.
        hidden_dropout: as for :func:`load_encoder`.
        attention_dropout: as for :func:`load_encoder`.

    Raises:
        UserError: as for :func:`load_encoder`, or transformers has no such class for the family.
    """
    config = _configured(backbone, hidden_dropout, attention_dropout)
    if type(config) not in transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise no_family_head(config.model_type, "transformers has no class for it")
    config.num_labels = num_outputs
    config.problem_type = None  # of another model, with which this number of outputs may be refused
    of_head = [name for name in _HEAD_DROPOUT if takes_key(config, name)]
    for name in of_head if dropout is not None else []:
        setattr(config, name, dropout)
    auto = transformers.AutoModelForSequenceClassification
    model = load_model(auto, backbone, pretrained, config, _options(config, None))
    if dropout is not None and not of_head:
        _set_dropout_of_modules(model, dropout)
    return model


def load_masked_lm(
    backbone: str | dict[str, Any],
    pretrained: bool,
    hidden_dropout: float | None = None,
    attention_dropout: float | None = None,
) -> tuple[transformers.PreTrainedModel, transformers.PretrainedConfig]:
    """Build the ``…ForMaskedLM`` of an encoder's family, as :func:`load_encoder` builds an encoder.

    A checkpoint without its head, as of an encoder that was trained for sentences, gets a new one.

    Returns:
        The model, and its configuration with the backbone's own dropouts.

    Raises:
        UserError: as for :func:`load_encoder`.
    """
    config = _configured(backbone, hidden_dropout, attention_dropout)
    model = load_model(transformers.AutoModelForMaskedLM, backbone, pretrained, config, _options(config, None))
    return model, _configured(backbone, None, None)


def no_family_head(model_type: str, why: str) -> UserError:
    """Return the error for a family whose own head cannot be used."""
    return UserError(f"--model.pooling head: not for {model_type} encoders ({why}).\nGive --model.pooling cls or mean.")


def takes_key(config: transformers.PretrainedConfig, key: str) -> bool:
    """Whether a configuration has a key by default, or its family's code looks for it, as DeBERTa's does."""
    if hasattr(config, key):
        return not callable(getattr(config, key))
    if type(config) not in transformers.MODEL_MAPPING:
        return False
    source = inspect.getsource(sys.modules[_model_class(config).__module__])
    return re.search(rf"""getattr\((self\.)?config, ["']{re.escape(key)}["']""", source) is not None


# Configurations


def _configured(
    backbone: str | dict[str, Any], hidden_dropout: float | None, attention_dropout: float | None
) -> transformers.PretrainedConfig:
    config = _config_from_keys(backbone) if isinstance(backbone, dict) else config_of_checkpoint(backbone)
    _refuse_other_models(config, name_of(backbone))
    _set_dropout(config, "hidden_dropout", _HIDDEN_DROPOUT, hidden_dropout)
    _set_dropout(config, "attention_dropout", ATTENTION_DROPOUT, attention_dropout)
    return config


def _config_from_keys(keys: dict[str, Any]) -> transformers.PretrainedConfig:
    model_type = keys.get("model_type")
    if not isinstance(model_type, str):
        raise UserError("--model.backbone: a from-scratch configuration needs model_type, e.g. bert.")
    try:
        default = transformers.AutoConfig.for_model(model_type)
    except ValueError as error:
        raise UserError(f"--model.backbone: transformers has no model_type {model_type!r}.") from error
    # Configuration classes accept any key and ignore those they do not know: a typo would pass silently.
    unknown = [key for key in keys if not takes_key(default, key)]
    if unknown:
        raise UserError(f"--model.backbone: {model_type} configurations have no {', '.join(map(repr, unknown))}.")
    if hasattr(default, "pad_token_id"):
        keys = {"pad_token_id": TRAINED_PAD_ID, **keys}
    try:
        return transformers.AutoConfig.for_model(**keys)
    except Exception as error:  # each configuration class raises errors of its own
        raise UserError(f"--model.backbone: not a {model_type} configuration ({reason(error)}).") from error


def config_of_checkpoint(name: str) -> transformers.PretrainedConfig:
    """Read the ``config.json`` of a hub id or a folder; one with BERT's keys and without ``model_type`` is BERT's.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    with refusals(name), quiet():
        keys, _ = transformers.PretrainedConfig.get_config_dict(name)
        if "model_type" not in keys and keys.keys() >= _EARLY_BERT and "embedding_size" not in keys:
            return transformers.BertConfig.from_dict(keys)
        return transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)


def _refuse_other_models(config: transformers.PretrainedConfig, name: str) -> None:
    # A decoder's first token attends only to itself: it would train without an error and learn nothing.
    of_text = hasattr(config, "hidden_size") and hasattr(config, "vocab_size")  # not Perceiver, nor image models
    if config.is_encoder_decoder or not of_text or type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING:
        raise UserError(
            f"--model.backbone: {name} ({config.model_type}) is not an encoder of the BERT kind, "
            "such as bert, electra, roberta, distilbert or modernbert."
        )
    if getattr(config, "is_decoder", False):
        raise UserError(f"--model.backbone: {name} has is_decoder true, which an encoder cannot have; remove it.")
    if config.model_type in PADDED_POSITIONS and config.pad_token_id is None:
        raise UserError(f"--model.backbone: {name} needs a pad_token_id: {config.model_type} counts positions from it.")


def _set_dropout(config: transformers.PretrainedConfig, key: str, names: tuple[str, ...], value: float | None) -> None:
    if value is None:
        return
    present = [name for name in names if hasattr(config, name)]
    if not present:
        raise UserError(f"--model.{key}: {config.model_type} configurations have no such dropout; remove the key.")
    for name in present:
        setattr(config, name, value)


def _set_dropout_of_modules(model: transformers.PreTrainedModel, value: float) -> None:
    """Set the dropout in the head of a family whose configuration has no key for it."""
    found = False
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and not name.startswith(f"{model.base_model_prefix}."):
            module.p, found = value, True
    if not found and value:
        report(f"model.dropout {value}: the head of {model.config.model_type} has no dropout")


def _options(config: transformers.PretrainedConfig, need_pooler: bool | None) -> dict[str, Any]:
    """Return the arguments to build a model; with None its class decides whether there is a pooler."""
    options: dict[str, Any] = {}
    if need_pooler is not None and "add_pooling_layer" in inspect.signature(_model_class(config)).parameters:
        # An unused pooler would cost memory and fail under DDP, as its parameters get no gradient.
        options["add_pooling_layer"] = need_pooler
    # transformers 5.23 has no public way to ask whether a family can use torch's attention.
    if _model_class(config)._supports_sdpa:
        options["attn_implementation"] = "sdpa"  # the fastest, whatever the configuration names
    return options


def _model_class(config: transformers.PretrainedConfig) -> Any:
    classes: Any = transformers.MODEL_MAPPING[type(config)]
    return classes[0] if isinstance(classes, tuple) else classes
