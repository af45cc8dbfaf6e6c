"""Unknown keys in a command line or a file, and the nearest known ones."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from nsmc_lightning.commands.arguments import CommandLine
from nsmc_lightning.errors import UserError

LINKS = {"data.tokenizer": "model.backbone", "model.num_labels": "data.corpus", "data.limits": "model"}
"""Computed key → the key that it is computed from."""

# What Hugging Face's Trainer, Keras, fairseq and older versions of Lightning call them.
ELSEWHERE = {
    "learning_rate": "model.lr",
    "per_device_train_batch_size": "data.batch_size",
    "train_batch_size": "data.batch_size",
    "epochs": "trainer.max_epochs",
    "num_train_epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "max_seq_length": "data.max_length",
    "max_seq_len": "data.max_length",
    "max_len": "data.max_length",
    "warmup": "model.warmup_ratio",
    "lr_scheduler_type": "model.schedule",
    "label_smoothing_factor": "model.label_smoothing",
    "gradient_accumulation_steps": "trainer.accumulate_grad_batches",
    "max_grad_norm": "trainer.gradient_clip_val",
    "grad_clip": "trainer.gradient_clip_val",
    "clipnorm": "trainer.gradient_clip_val",
    "ema_decay": "averaging.decay",
    "fp16": "trainer.precision",
    "bf16": "trainer.precision",
    "gpus": "trainer.devices",
    "eval_steps": "trainer.val_check_interval",
    "logging_steps": "trainer.log_every_n_steps",
    "metric_for_best_model": "checkpoint.monitor",
    "resume_from_checkpoint": "ckpt_path",
    "checkpoint_path": "ckpt_path",
    "ckpt": "ckpt_path",
    "checkpoint_dir": "checkpoint.dirpath",
    "seed": "seed_everything",
    "random_seed": "seed_everything",
    "input": "data.predict_path",
    "output_dir": "log_dir",
    "logging_dir": "log_dir",
    "run_name": "name",
    "model_name": "model.backbone",
    "model_name_or_path": "model.backbone",
    "num_classes": "data.corpus",
    "num_labels": "data.corpus",
}


def refuse_unknown(line: CommandLine, known: Collection[str], links: Mapping[str, str]) -> None:
    """Refuse keys that the parser does not have, in the options and in the configurations.

    Args:
        line: what was given.
        known: the parser's keys, groups among them.
        links: computed key → the key that it is computed from.

    Raises:
        UserError: with the nearest key, or the one to give instead.
    """
    for config in line.configs:
        place = config.file or "the settings of --config or --ckpt_path"
        for key in _keys_in(config.settings, known):
            _refuse(key, known, links, f"{place}: there is no key {key}")
    for option, _ in line.options:
        key = option.removeprefix("--").removesuffix("+")
        if option.startswith("--") and key.rpartition(".")[2] not in ("help", "print_config"):
            _refuse(key, known, links, f"there is no {option}", "--")


def _keys_in(settings: Mapping[Any, Any], known: Collection[str], above: str = "") -> Iterator[str]:
    for name, value in settings.items():
        key = f"{above}{name}".removesuffix("+")
        if not _is_group(key, known):
            yield key
        elif isinstance(value, dict):
            yield from _keys_in(value, known, f"{key}.")
        elif not isinstance(value, str | None):  # a text names a file of the group's settings
            raise UserError(f"{key} {value}: give settings, {key}: {{KEY: VALUE}}.")


def _is_group(key: str, known: Collection[str]) -> bool:
    return any(other.startswith(f"{key}.") for other in known)


def _refuse(key: str, known: Collection[str], links: Mapping[str, str], complaint: str, dashes: str = "") -> None:
    if key in links:
        raise UserError(f"{dashes}{key} follows from {dashes}{links[key]}: give that one.")
    above = key
    while above:  # the parser checks what is below a key that is no group: the arguments of a class
        if above in known and (above == key or not _is_group(above, known)):
            return
        above = above.rpartition(".")[0]
    if near := nearest(key, known):
        raise UserError(f"{complaint}: did you mean {' or '.join(dashes + name for name in near)}?")
    raise UserError(f"{complaint}; --help lists them all.")


def nearest(key: str, known: Collection[str]) -> list[str]:
    """The keys most like ``key``, with its group, ``model.learning_rate``; several where only their groups differ."""
    key = key.replace("-", "_")
    name = key.rpartition(".")[2]
    if (meant := ELSEWHERE.get(name)) in known:
        return [str(meant)]
    named = defaultdict(list)
    for other in known:
        named[other.rpartition(".")[2]].append(other)
    if name not in named and (near := get_close_matches(key, known, n=1, cutoff=0.8)):
        return near
    return [other for match in get_close_matches(name, named, n=1, cutoff=0.75) for other in named[match]][:3]
