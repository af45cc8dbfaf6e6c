"""Hub id, folder or from-scratch configuration → encoder, and what that encoder can take."""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers  # its names load what they need when they are first used: --help needs none of it
from huggingface_hub.utils import enable_progress_bars
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import nn
from transformers.utils import logging as transformers_logging

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.fast.states import FULL_ATTENTION, PADDED_POSITIONS, first_position
from nsmc_lightning.types import TRAINED_PAD_ID, EncoderLimits

# What the families call their dropouts: those on hidden states, and that on attention weights.
_HIDDEN_DROPOUT = ("hidden_dropout_prob", "dropout", "mlp_dropout", "embedding_dropout", "hidden_dropout")
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")
_WAYS_OUT = "Give the folder of a downloaded checkpoint, or use configs/demo.yaml, which needs no network."

_log = logging.getLogger(__name__)


def load_encoder(
    backbone: str | dict[str, Any],
    pretrained: bool,
    need_pooler: bool,
    hidden_dropout: float | None = None,
    attention_dropout: float | None = None,
) -> transformers.PreTrainedModel:
    """Builds an encoder in float32 and in training mode; code that a checkpoint may carry is never run.

    Every row of its embeddings learns, also that which its configuration calls padding: the tokenizer may pad with
    another id. Families that can be packed get the attention implementation for it, whatever the configuration names.

    Args:
        backbone: hub id or folder of a checkpoint, or a configuration with ``model_type`` for random weights.
        pretrained: False reads no more than ``config.json`` and leaves the weights random.
        need_pooler: whether the head reads the encoder's pooler.
        hidden_dropout: in place of the configuration's dropout on hidden states.
        attention_dropout: in place of the configuration's dropout on attention weights.

    Raises:
        UserError: the checkpoint cannot be had or read, the configuration cannot be, the model is no encoder, or it
            has no pooler or no such dropout.
    """
    config = _config_from_keys(backbone) if isinstance(backbone, dict) else _config_of_checkpoint(backbone)
    name = "a from-scratch configuration" if isinstance(backbone, dict) else backbone
    _refuse_other_models(config, name)
    if config.model_type in FULL_ATTENTION:
        config._attn_implementation = "sdpa"
    _set_dropout(config, "hidden_dropout", _HIDDEN_DROPOUT, hidden_dropout)
    _set_dropout(config, "attention_dropout", _ATTENTION_DROPOUT, attention_dropout)
    # An unused pooler would only cost memory, and fail under DDP: its parameters get no gradient.
    options = {"add_pooling_layer": need_pooler} if _takes_pooling_option(config) else {}
    if isinstance(backbone, str) and pretrained:
        encoder = _pretrained_encoder(backbone, config, options)
    else:
        encoder = _random_encoder(config, name, options)
        if pretrained:
            _warn(f"random weights: no pretrained encoder, --model.backbone is {name}")
    if need_pooler and getattr(encoder, "pooler", None) is None:
        raise UserError(f"--model.pooling pooler: {name} ({config.model_type}) has no pooler: use cls or mean.")
    _unfreeze_padding(encoder)
    return encoder.train()  # from_pretrained returns it in eval mode, and Lightning keeps that


def encoder_limits(config: transformers.PretrainedConfig, packs_rows: bool = False) -> EncoderLimits:
    """Read from an encoder's configuration what it accepts; ``packs_rows`` is what the probe found."""
    max_length = getattr(config, "max_position_embeddings", None)
    if getattr(config, "position_biased_input", True) is False:
        max_length = None  # DeBERTa with relative positions alone has no table
    elif max_length is not None and config.model_type in PADDED_POSITIONS:
        max_length -= first_position(config)
    return EncoderLimits(
        vocab_size=config.vocab_size,
        max_length=max_length,
        segments=getattr(config, "type_vocab_size", None) or 0,
        pad_token_id=config.pad_token_id,
        packs_rows=packs_rows,
    )


def takes_key(config: transformers.PretrainedConfig, key: str) -> bool:
    """Whether a configuration has a key by default, or the family's code looks for one, as DeBERTa's does."""
    if hasattr(config, key):
        return not callable(getattr(config, key))
    if type(config) not in transformers.MODEL_MAPPING:
        return False
    source = inspect.getsource(sys.modules[_model_class(config).__module__])
    return re.search(rf"""getattr\((self\.)?config, ["']{re.escape(key)}["']""", source) is not None


# Configurations


def _config_from_keys(keys: dict[str, Any]) -> transformers.PretrainedConfig:
    model_type = keys.get("model_type")
    if not isinstance(model_type, str):
        raise UserError("--model.backbone: a from-scratch configuration needs model_type, e.g. bert.")
    try:
        default = transformers.AutoConfig.for_model(model_type)
    except ValueError as error:
        raise UserError(f"--model.backbone: model_type {model_type!r} is not one that transformers has.") from error
    # A configuration class takes any key and ignores it: a misspelt one would pass silently.
    unknown = [key for key in keys if not takes_key(default, key)]
    if unknown:
        raise UserError(f"--model.backbone: {model_type} configurations have no {', '.join(map(repr, unknown))}.")
    if hasattr(default, "pad_token_id"):
        keys = {"pad_token_id": TRAINED_PAD_ID, **keys}
    try:
        return transformers.AutoConfig.for_model(**keys)
    except Exception as error:  # each configuration class has errors of its own
        raise UserError(f"--model.backbone: no {model_type} configuration ({reason(error)}).") from error


def _config_of_checkpoint(name: str) -> transformers.PretrainedConfig:
    with _refusals(name), _quiet():
        return transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)


def _refuse_other_models(config: transformers.PretrainedConfig, name: str) -> None:
    # A decoder's first token sees nothing but itself: it would train without complaint, and learn nothing.
    of_text = hasattr(config, "hidden_size") and hasattr(config, "vocab_size")  # Perceiver and those of images: no
    if config.is_encoder_decoder or not of_text or type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING:
        raise UserError(
            f"--model.backbone: {name} ({config.model_type}) is not an encoder of the BERT kind, "
            "such as bert, electra, roberta, distilbert or modernbert."
        )
    if getattr(config, "is_decoder", False):
        raise UserError(f"--model.backbone: {name} has is_decoder true: an encoder looks both ways, leave it out.")
    if config.model_type in PADDED_POSITIONS and config.pad_token_id is None:
        raise UserError(f"--model.backbone: {name} needs a pad_token_id: {config.model_type} counts positions from it.")


def _set_dropout(config: transformers.PretrainedConfig, key: str, names: tuple[str, ...], value: float | None) -> None:
    if value is None:
        return
    present = [name for name in names if hasattr(config, name)]
    if not present:
        raise UserError(f"--model.{key}: {config.model_type} configurations have no such dropout, leave it out.")
    for name in present:
        setattr(config, name, value)


def _takes_pooling_option(config: transformers.PretrainedConfig) -> bool:
    return "add_pooling_layer" in inspect.signature(_model_class(config)).parameters


def _model_class(config: transformers.PretrainedConfig) -> Any:
    classes: Any = transformers.MODEL_MAPPING[type(config)]
    return classes[0] if isinstance(classes, tuple) else classes


# Weights


def _pretrained_encoder(
    name: str, config: transformers.PretrainedConfig, options: dict[str, bool]
) -> transformers.PreTrainedModel:
    with _refusals(name), _quiet():
        encoder, report = transformers.AutoModel.from_pretrained(
            name,
            config=config,
            dtype=torch.float32,  # checkpoints shared in float16 must train in float32
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
            trust_remote_code=False,
            **options,
        )
        if report["mismatched_keys"]:
            tensor, found, expected = sorted(report["mismatched_keys"])[0]
            raise ValueError(f"{tensor} is {tuple(found)}, config.json makes it {tuple(expected)}")
    new = sorted(report["missing_keys"])
    if new:  # unexpected keys are the heads of pre-training, which nobody needs
        more = ", …" if len(new) > 3 else ""
        _warn(f"random weights: {name} lacks {len(new)} of the encoder's tensors ({', '.join(new[:3])}{more})")
    return encoder


def _random_encoder(
    config: transformers.PretrainedConfig, name: str, options: dict[str, bool]
) -> transformers.PreTrainedModel:
    try:
        return transformers.AutoModel.from_config(config, dtype=torch.float32, **options)
    except Exception as error:  # the modules raise whatever a wrong size leads them to
        raise UserError(
            f"--model.backbone: {name} ({config.model_type}) builds no encoder ({reason(error)})."
        ) from error


def _unfreeze_padding(encoder: transformers.PreTrainedModel) -> None:
    """Has the row of ``padding_idx`` learn like any other; real padding never reaches the loss."""
    modules: Iterator[Any] = encoder.modules()
    for module in modules:
        # A table, that is: RoBERTa's embeddings as a whole count positions from an attribute of that name.
        if isinstance(getattr(module, "weight", None), nn.Parameter) and hasattr(module, "padding_idx"):
            module.padding_idx = None


# How it is said


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # hub, JSON, safetensors, pickle and torch each have errors of their own
        where = "this folder cannot be loaded" if Path(name).is_dir() else "no such folder, nor to be had from the hub"
        raise UserError(f"--model.backbone {name}: {where} ({reason(error)}).\n{_WAYS_OUT}") from error


def reason(error: Exception) -> str:
    """The first line of a message, and the next where that one only announces it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1]).rstrip(".") or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "…"


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides transformers' table of tensors and its loading bar, and the hub's lines about each retry."""
    hub = logging.getLogger("huggingface_hub")
    levels = transformers_logging.get_verbosity(), hub.level
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    hub.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    if bars:
        enable_progress_bars()  # the hub's own: a download of 400 MB should show that it moves
    try:
        yield
    finally:
        transformers_logging.set_verbosity(levels[0])
        hub.setLevel(levels[1])
        if bars:
            transformers_logging.enable_progress_bar()


@rank_zero_only
def _warn(line: str) -> None:
    _log.warning(line)
