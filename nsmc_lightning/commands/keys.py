"""Unknown keys in a command line or a file, and the nearest known ones."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser
from jsonargparse._link_arguments import ActionLink

from nsmc_lightning.errors import UserError

# What Hugging Face's Trainer, Keras and older versions of Lightning call them.
ELSEWHERE = {
    "epochs": "trainer.max_epochs",
    "gradient_accumulation_steps": "trainer.accumulate_grad_batches",
    "per_device_train_batch_size": "data.batch_size",
    "resume_from_checkpoint": "ckpt_path",
    "checkpoint_path": "ckpt_path",
    "input": "data.predict_path",
    "num_train_epochs": "trainer.max_epochs",
    "gpus": "trainer.devices",
    "fp16": "trainer.precision",
    "bf16": "trainer.precision",
    "output_dir": "log_dir",
    "model_name": "model.backbone",
    "model_name_or_path": "model.backbone",
    "num_classes": "data.corpus",
    "num_labels": "data.corpus",
}
_ALIKE = 0.75  # of 1.1: below, a proposal would rather mislead
_AS_NEAR = 0.03


@dataclass(frozen=True)
class Keys:
    """The keys of a command.

    ``helps``: by key, without dashes, what ``--help`` says of it. ``links``: by key that follows from others, those.
    """

    helps: Mapping[str, str]
    links: Mapping[str, str]

    @classmethod
    def of(cls, parser: ArgumentParser) -> "Keys":
        """Those that ``parser`` knows."""
        helps: dict[str, str] = {}
        links: dict[str, str] = {}
        for action in parser._actions:
            if isinstance(action, ActionLink):
                links[action.target[0]] = ", ".join(key for key, _ in action.source)
                continue
            names = [name[2:].removesuffix("+") for name in action.option_strings if name.startswith("--")]
            helps |= {name: action.help or "" for name in names if not name.endswith(".help")}
        return cls(helps, links)

    def refuse_unknown(self, args: list[str]) -> None:
        """Looks at a command line, and into the files of settings that it names.

        Raises:
            UserError: there is no such key, it follows from another, or a file is none of settings.
        """
        for option, following in zip(args, [*args[1:], ""], strict=True):
            name, _, value = option.partition("=")
            key = name[2:].removesuffix("+")
            if option == "--":
                return
            if name == "--config" or (name.startswith("--") and key in self.helps and self._is_room(key)):
                self._refuse_unknown_in(value or following, name)
            elif name.startswith("--"):
                self._refuse(key, f"there is no {name}", "--", args[0])

    def _refuse_unknown_in(self, config: str, option: str) -> None:
        """Looks into a configuration, a path or YAML text, given with ``--config`` or for one room, ``--model``."""
        if not config:
            raise UserError(f"{option}: give a file with it, as in --config configs/klue.yaml.")
        place = config if os.path.isfile(config) else f"the settings of {option} or --ckpt_path"
        try:
            settings = yaml.safe_load(Path(config).read_text(encoding="utf-8") if os.path.isfile(config) else config)
        except yaml.MarkedYAMLError as error:
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise UserError(f"{place}{line}: not YAML, {error.problem}.") from error
        except (OSError, ValueError, yaml.YAMLError):
            settings = ""
        if not isinstance(settings, dict | None):
            checkpoint = " A checkpoint is given with --ckpt_path." if config.endswith(".ckpt") else ""
            raise UserError(f"{option} {config}: not a file of settings, in YAML and UTF-8.{checkpoint}")
        above = "" if option == "--config" else f"{option[2:]}."
        for key in self._keys_in(settings or {}, above):
            self._refuse(key, f"{place}: there is no key {key}", "")

    def _keys_in(self, settings: Mapping[Any, Any], above: str = "") -> Iterator[str]:
        for name, value in settings.items():
            key = f"{above}{name}".removesuffix("+")
            if isinstance(value, dict) and self._is_room(key):
                yield from self._keys_in(value, f"{key}.")
            else:
                yield key

    def _is_room(self, key: str) -> bool:
        return any(known.startswith(f"{key}.") for known in self.helps)

    def _refuse(self, key: str, complaint: str, dashes: str, command: str = "fit") -> None:
        if key in self.links:
            raise UserError(f"{dashes}{key} follows from {dashes}{self.links[key]}: give that one.")
        parts = key.split(".")
        above = [".".join(parts[:i]) for i in range(1, len(parts))]
        # Keys below one that is no group are arguments of a class, which the parser checks.
        if key in self.helps or any(room in self.helps and not self._is_room(room) for room in above):
            return
        raise UserError(f"{complaint}{way_out(key, self.helps, dashes, command)}")


def way_out(key: str, known: Mapping[str, str], dashes: str, command: str) -> str:
    """The end of a message about an unknown key: which one is meant, or how to list all."""
    if near := nearest(key, known):
        return f": did you mean {' or '.join(dashes + name for name in near)}?"
    return f"; `python -m nsmc_lightning {command} --help` lists them all."


def nearest(key: str, known: Mapping[str, str]) -> list[str]:
    """The keys most like ``key``, up to three that are as near; none where none is near.

    Args:
        key: with the rooms before it, ``model.learning_rate``.
        known: help text by key.
    """
    if (name := ELSEWHERE.get(key.rpartition(".")[2])) and name in known:
        return [name]
    scores = {other: _likeness(key, other, text) for other, text in known.items()}
    best = max(scores.values(), default=0)
    if best < _ALIKE:
        return []
    return sorted((other for other in scores if scores[other] >= best - _AS_NEAR), key=lambda other: -scores[other])[:3]


def _likeness(key: str, other: str, text: str) -> float:
    """From 0 to 1 by the name, and up to 0.1 more where the rooms are alike."""
    room, _, name = key.rpartition(".")
    other_room, _, other_name = other.rpartition(".")
    words, other_words = _words(name), _words(other_name)
    if key.replace(".", "_") == other.replace(".", "_"):
        return 1.1
    likeness = [SequenceMatcher(None, name, other_name).ratio(), _shared(words, other_words)]
    if len(words) > 1 and other_name == "".join(word[0] for word in words):
        likeness.append(0.95)  # learning_rate: lr
    if len(words) > 1 and " ".join(words) in " ".join(_words(text.partition("\n")[0])):
        likeness.append(0.75)
    return max(likeness) + 0.1 * SequenceMatcher(None, room, other_room).ratio()


def _shared(words: list[str], others: list[str]) -> float:
    """Share of the words that both have, also shortened: ``max_len``, ``max_length``."""
    found = sum(any(_is_short_for(a, b) or _is_short_for(b, a) for b in others) for a in words)
    return 2 * found / max(len(words) + len(others), 1)


def _is_short_for(a: str, b: str) -> bool:
    return b.startswith(a) and (len(a) > 2 or a == b)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
