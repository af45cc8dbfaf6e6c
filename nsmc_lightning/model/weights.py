"""Weights of a model: those of a hub id or a folder, or random ones."""

from __future__ import annotations

import logging
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

_WAYS_OUT = "Give the folder of a downloaded checkpoint, or use configs/demo.yaml, which needs no network."


def load_model(
    auto: Any,
    backbone: str | dict[str, Any],
    pretrained: bool,
    config: transformers.PretrainedConfig,
    options: dict[str, Any],
) -> transformers.PreTrainedModel:
    """Build a model in float32 and in training mode, without running any code of a checkpoint.

    All rows of its embeddings learn, including the configuration's padding: the tokenizer may pad with another id.

    Args:
        auto: transformers' ``AutoModel``, ``AutoModelForSequenceClassification`` or ``AutoModelForMaskedLM``.
        backbone: hub id or folder of a checkpoint, or a configuration.
        pretrained: False leaves the weights random.
        config: the model's configuration.
        options: further arguments of its class.

    Raises:
        UserError: the weights cannot be read, or the model cannot be built.
    """
    if isinstance(backbone, str) and pretrained:
        model = _pretrained(auto, backbone, config, options)
    else:
        model = _random(auto, config, name_of(backbone), options)
        if pretrained:
            warn(f"random weights: no pretrained encoder, --model.backbone is {name_of(backbone)}")
    _unfreeze_padding(model)
    return model.train()  # from_pretrained returns it in eval mode, and Lightning keeps that


def name_of(backbone: str | dict[str, Any]) -> str:
    """Return the name of a ``model.backbone`` in messages."""
    return "a from-scratch configuration" if isinstance(backbone, dict) else backbone


def _pretrained(
    auto: Any, name: str, config: transformers.PretrainedConfig, options: dict[str, Any]
) -> transformers.PreTrainedModel:
    with refusals(name), quiet():
        model, info = auto.from_pretrained(
            name,
            config=config,
            dtype=torch.float32,  # checkpoints shared in float16 must train in float32
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below by name
            trust_remote_code=False,
            **options,
        )
        of_encoder = "" if auto is transformers.AutoModel else f"{model.base_model_prefix}."
        others = sorted(info["mismatched_keys"])
        for tensor, found, expected in others:
            if tensor.startswith(of_encoder):
                raise ValueError(f"{tensor} is {tuple(found)}, but {tuple(expected)} by config.json")
    missing = info["missing_keys"]  # unexpected keys are heads of pre-training, which are not used
    _report_missing(name, [key.removeprefix(of_encoder) for key in missing if key.startswith(of_encoder)])
    if auto is transformers.AutoModelForMaskedLM and any(not key.startswith(of_encoder) for key in missing):
        report(f"{name}: has no head for masked tokens; a new one is trained")
    if auto is transformers.AutoModelForSequenceClassification:
        _report_head(name, {key for key in model.state_dict() if not key.startswith(of_encoder)} - {*missing}, others)
    return model


def _report_missing(name: str, tensors: list[str]) -> None:
    missing = sorted(tensors)
    if missing:
        more = ", …" if len(missing) > 3 else ""
        warn(f"random weights: {name} lacks {len(missing)} of the encoder's tensors ({', '.join(missing[:3])}{more})")


def _report_head(name: str, stored: set[str], others: list[tuple[str, Any, Any]]) -> None:
    """Report a head that a checkpoint has; that it has none is the usual case."""
    for tensor, found, expected in others:
        warn(f"random weights: {tensor} of {name} is {tuple(found)}, but {tuple(expected)} for these labels")
    if loaded := sorted(stored - {tensor for tensor, *_ in others}):
        report(f"model.pooling head: training starts from the head of {name} ({', '.join(loaded)})")


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
def refusals(name: str) -> Iterator[None]:
    """Refuse a hub id or a folder that cannot be loaded."""
    try:
        yield
    except Exception as error:  # hub, JSON, safetensors, pickle and torch each raise errors of their own
        where = "cannot load this folder" if Path(name).is_dir() else "no such folder, and not available from the hub"
        raise UserError(f"--model.backbone {name}: {where} ({reason(error)}).\n{_WAYS_OUT}") from error


@contextmanager
def quiet() -> Iterator[None]:
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
