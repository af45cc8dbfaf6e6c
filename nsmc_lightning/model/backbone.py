"""Hub id, folder or from-scratch configuration → encoder."""

from __future__ import annotations

import copy
import inspect
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers  # loads each of its names at its first use: --help needs none
from huggingface_hub.utils import enable_progress_bars
from torch import nn
from transformers.utils import logging as transformers_logging

from nsmc_lightning.errors import UserError, reason, report, warn
from nsmc_lightning.model.families import ATTENTION_DROPOUT, PADDED_POSITIONS
from nsmc_lightning.types import TRAINED_PAD_ID

# The families' names for dropout on hidden states.
_HIDDEN_DROPOUT = ("hidden_dropout_prob", "dropout", "mlp_dropout", "embedding_dropout", "hidden_dropout")
# Keys of the first BERTs' config.json, from before model_type; ALBERT's and ELECTRA's have embedding_size besides.
_EARLY_BERT = {"hidden_size", "intermediate_size", "max_position_embeddings", "num_attention_heads",
               "num_hidden_layers", "type_vocab_size", "vocab_size"}  # fmt: skip
_WAYS_OUT = "Give the folder of a downloaded checkpoint, or use configs/demo.yaml, which needs no network."


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
    config, name = _config(backbone)
    _set_dropouts(config, hidden_dropout, attention_dropout)
    options = _options(config, need_pooler)
    if isinstance(backbone, str) and pretrained:
        encoder, missing = _pretrained(transformers.AutoModel, backbone, config, options)
        _warn_of_missing(name, missing)
    else:
        encoder = _random(transformers.AutoModel, config, name, options)
        if pretrained:
            warn(f"random weights: no pretrained encoder, --model.backbone is {name}")
    if need_pooler and getattr(encoder, "pooler", None) is None:
        raise UserError(f"--model.pooling pooler: {name} ({config.model_type}) has no pooler: use cls or mean.")
    _unfreeze_padding(encoder)
    return encoder.train()  # from_pretrained returns it in eval mode, and Lightning keeps that


def load_masked_lm(
    backbone: str | dict[str, Any],
    pretrained: bool,
    hidden_dropout: float | None = None,
    attention_dropout: float | None = None,
) -> tuple[transformers.PreTrainedModel, transformers.PretrainedConfig]:
    """Build an encoder with its family's head for masked tokens, as :func:`load_encoder` builds one without.

    A checkpoint without that head, as of an encoder that was trained for sentences, gets a new one.

    Returns:
        The model, and its configuration with the backbone's own dropouts.

    Raises:
        UserError: as :func:`load_encoder`.
    """
    config, name = _config(backbone)
    own = copy.deepcopy(config)
    _set_dropouts(config, hidden_dropout, attention_dropout)
    options = {key: value for key, value in _options(config, False).items() if key != "add_pooling_layer"}
    if isinstance(backbone, str) and pretrained:
        model, missing = _pretrained(transformers.AutoModelForMaskedLM, backbone, config, options)
        of_encoder = [key for key in missing if key.startswith(f"{model.base_model_prefix}.")]
        _warn_of_missing(name, of_encoder)
        if len(of_encoder) < len(missing):
            report(f"{name}: has no head for masked tokens; a new one is trained.")
    else:
        model = _random(transformers.AutoModelForMaskedLM, config, name, options)
    _unfreeze_padding(model)
    return model.train(), own


def takes_key(config: transformers.PretrainedConfig, key: str) -> bool:
    """Whether a configuration has a key by default, or its family's code looks for it, as DeBERTa's does."""
    if hasattr(config, key):
        return not callable(getattr(config, key))
    if type(config) not in transformers.MODEL_MAPPING:
        return False
    source = inspect.getsource(sys.modules[_model_class(config).__module__])
    return re.search(rf"""getattr\((self\.)?config, ["']{re.escape(key)}["']""", source) is not None


# Configurations


def _config(backbone: str | dict[str, Any]) -> tuple[transformers.PretrainedConfig, str]:
    """The backbone's configuration, and its name for messages."""
    config = _config_from_keys(backbone) if isinstance(backbone, dict) else config_of_checkpoint(backbone)
    name = "a from-scratch configuration" if isinstance(backbone, dict) else backbone
    _refuse_other_models(config, name)
    return config, name


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
    with _refusals(name), _quiet():
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


def _set_dropouts(config: transformers.PretrainedConfig, hidden: float | None, attention: float | None) -> None:
    _set_dropout(config, "hidden_dropout", _HIDDEN_DROPOUT, hidden)
    _set_dropout(config, "attention_dropout", ATTENTION_DROPOUT, attention)


def _set_dropout(config: transformers.PretrainedConfig, key: str, names: tuple[str, ...], value: float | None) -> None:
    if value is None:
        return
    present = [name for name in names if hasattr(config, name)]
    if not present:
        raise UserError(f"--model.{key}: {config.model_type} configurations have no such dropout; remove the key.")
    for name in present:
        setattr(config, name, value)


def _options(config: transformers.PretrainedConfig, need_pooler: bool) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if "add_pooling_layer" in inspect.signature(_model_class(config)).parameters:
        # An unused pooler would cost memory and fail under DDP, as its parameters get no gradient.
        options["add_pooling_layer"] = need_pooler
    # transformers 5.23 has no public way to ask whether a family can use torch's attention.
    if _model_class(config)._supports_sdpa:
        options["attn_implementation"] = "sdpa"  # the fastest, whatever the configuration names
    return options


def _model_class(config: transformers.PretrainedConfig) -> Any:
    classes: Any = transformers.MODEL_MAPPING[type(config)]
    return classes[0] if isinstance(classes, tuple) else classes


# Weights


def _pretrained(
    auto: Any, name: str, config: transformers.PretrainedConfig, options: dict[str, Any]
) -> tuple[transformers.PreTrainedModel, list[str]]:
    """The model of the class that ``auto`` finds, and the names of its tensors that the checkpoint lacks."""
    with _refusals(name), _quiet():
        model, loaded = auto.from_pretrained(
            name,
            config=config,
            dtype=torch.float32,  # checkpoints shared in float16 must train in float32
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below by name
            trust_remote_code=False,
            **options,
        )
        if loaded["mismatched_keys"]:
            tensor, found, expected = sorted(loaded["mismatched_keys"])[0]
            raise ValueError(f"{tensor} is {tuple(found)}, but {tuple(expected)} by config.json")
    return model, sorted(loaded["missing_keys"])  # unexpected keys are heads of pre-training, which are not used


def _warn_of_missing(name: str, missing: list[str]) -> None:
    if missing:
        more = ", …" if len(missing) > 3 else ""
        warn(f"random weights: {name} lacks {len(missing)} of the encoder's tensors ({', '.join(missing[:3])}{more})")


def _random(
    auto: Any, config: transformers.PretrainedConfig, name: str, options: dict[str, Any]
) -> transformers.PreTrainedModel:
    try:
        return auto.from_config(config, dtype=torch.float32, **options)
    except Exception as error:  # a wrong size raises a different error in each family
        raise UserError(
            f"--model.backbone: cannot build an encoder from {name} ({config.model_type}: {reason(error)})."
        ) from error


def _unfreeze_padding(encoder: transformers.PreTrainedModel) -> None:
    """Let the embedding row of ``padding_idx`` learn; real padding never reaches the loss."""
    modules: Iterator[Any] = encoder.modules()
    for module in modules:
        # Tables only: RoBERTa's embeddings module counts positions from its own attribute padding_idx.
        if isinstance(getattr(module, "weight", None), nn.Parameter) and hasattr(module, "padding_idx"):
            module.padding_idx = None


# Messages


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # hub, JSON, safetensors, pickle and torch each raise errors of their own
        where = "cannot load this folder" if Path(name).is_dir() else "no such folder, and not available from the hub"
        raise UserError(f"--model.backbone {name}: {where} ({reason(error)}).\n{_WAYS_OUT}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide transformers' table of tensors and loading bar, and the hub's lines about retries."""
    hub = logging.getLogger("huggingface_hub")
    levels = transformers_logging.get_verbosity(), hub.level
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    hub.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    if bars:
        enable_progress_bars()  # the hub's own: show the progress of a download of 400 MB
    try:
        yield
    finally:
        transformers_logging.set_verbosity(levels[0])
        hub.setLevel(levels[1])
        if bars:
            transformers_logging.enable_progress_bar()
