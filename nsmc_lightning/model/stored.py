"""What a checkpoint holds of a model beside weights: its encoder's ``config.json``, read as a backbone; temperature."""

import json
from collections.abc import Mapping
from typing import Any

import transformers

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.backbone import takes_key

# The checkpoint's keys.
ENCODER_CONFIG = "encoder_config"
TEMPERATURE = "temperature"
CLASS_WEIGHTS = "class_weights"  # only of balanced ones


def config_text(config: transformers.PretrainedConfig) -> str:
    """Return a configuration's whole ``config.json``, without the folder that it was read from."""
    keys = json.loads(config.to_json_string(use_diff=False))
    keys.pop("_name_or_path", None)
    return json.dumps(keys, ensure_ascii=False, indent=2, sort_keys=True)


def stored_backbone(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the ``backbone`` that builds a checkpoint's encoder without the folder or hub id that it started from.

    It spells out defaults too, which may differ in another version of transformers.

    Raises:
        UserError: the checkpoint contains no configuration.
    """
    if ENCODER_CONFIG not in checkpoint:
        raise UserError("not a checkpoint of BertClassifierModule: it contains no encoder_config.")
    keys = json.loads(checkpoint[ENCODER_CONFIG])
    default = transformers.AutoConfig.for_model(keys["model_type"])
    return {key: value for key, value in keys.items() if takes_key(default, key)}


def stored_temperature(checkpoint: Mapping[str, Any]) -> float:
    """Return the temperature; 1 in a checkpoint of an earlier version."""
    return float(checkpoint.get(TEMPERATURE, 1.0))
