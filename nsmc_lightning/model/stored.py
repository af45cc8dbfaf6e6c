"""The encoder's configuration as a checkpoint holds it: text that is a ``config.json``, and a backbone again."""

import json
from typing import Any

import transformers

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.backbone import takes_key

ENCODER_CONFIG = "encoder_config"  # the checkpoint's key


def config_text(config: transformers.PretrainedConfig) -> str:
    """The whole ``config.json``, without the folder that it came from."""
    keys = json.loads(config.to_json_string(use_diff=False))
    keys.pop("_name_or_path", None)
    return json.dumps(keys, ensure_ascii=False, indent=2, sort_keys=True)


def stored_backbone(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The ``backbone`` that builds the checkpoint's encoder where the one it was trained from cannot be had.

    Every key is spelt out, defaults too: another version may have others.

    Raises:
        UserError: the checkpoint holds no such configuration.
    """
    if ENCODER_CONFIG not in checkpoint:
        raise UserError("not a checkpoint of BertClassifierModule: it holds no encoder_config.")
    keys = json.loads(checkpoint[ENCODER_CONFIG])
    default = transformers.AutoConfig.for_model(keys["model_type"])
    return {key: value for key, value in keys.items() if takes_key(default, key)}
