"""The words of a command line before they are parsed: what stands where, and what a checkpoint puts in front."""

from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from nsmc_lightning.checkpoint import CLI_CONFIG
from nsmc_lightning.recipes import recipe_file

# What evaluation takes over from a checkpoint; the trainer's settings are of the machine that trained.
_EVALUATION_KEYS = ("seed_everything", "name", "model", "data")


def option(args: list[str], name: str) -> str | None:
    """The value of the last ``--name VALUE`` or ``--name=VALUE``."""
    value = None
    for i, arg in enumerate(args):
        if arg == name and i + 1 < len(args):
            value = args[i + 1]
        elif arg.startswith(f"{name}="):
            value = arg.partition("=")[2]
    return value


def configs_first(args: list[str], before: list[str]) -> list[str]:
    """The arguments with every ``--config`` in front, ``before`` first of all: a flag wins wherever it stands.

    The parser goes by order: a saved ``config.yaml`` behind ``--ckpt_path X`` would set it to null again, and an
    untrained model would be tested.

    Raises:
        UserError: a ``--config`` or ``--data.corpus`` names a file that is neither there nor shipped.
    """
    configs, flags = list(before), []
    rest = iter(args[1:])
    for arg in rest:
        if arg in ("--config", "-c"):
            configs.append(recipe_file("--config", next(rest, "")))
        elif arg.startswith("--config="):
            configs.append(recipe_file("--config", arg.partition("=")[2]))
        elif arg == "--data.corpus":
            flags += [arg, *(recipe_file(arg, word) for word in islice(rest, 1))]
        elif arg.startswith("--data.corpus="):
            flags.append(f"--data.corpus={recipe_file('--data.corpus', arg.partition('=')[2])}")
        else:
            flags.append(arg)
    return [args[0], *_whole_corpora([word for config in configs for word in ("--config", config)] + flags)]


def _whole_corpora(args: list[str]) -> list[str]:
    """The arguments with the corpus emptied before each that names a whole one.

    The parser would merge them: what the second corpus leaves out, its test part say, would be the first one's.
    """
    result: list[str] = []
    for arg, following in zip(args, [*args, ""][1:], strict=True):
        names_file = arg == "--data.corpus" or arg.startswith("--data.corpus=")
        if names_file or (arg == "--config" and _names_corpus(following)):
            result.append("--data.corpus=null")
        result.append(arg)
    return result


def _names_corpus(config: str) -> bool:
    """Whether a configuration, a path or YAML text, has a corpus of its own; what cannot be read is the parser's."""
    try:
        settings = yaml.safe_load(Path(config).read_text(encoding="utf-8") if len(config) < 4096 else config)
    except (OSError, ValueError, yaml.YAMLError):
        return False
    corpus = (settings.get("data") or {}).get("corpus") if isinstance(settings, dict) else None
    return isinstance(corpus, str) or (isinstance(corpus, dict) and "train" in corpus)


def stored_config(command: str, checkpoint: dict[str, Any]) -> str:
    """The checkpoint's settings as YAML; of the trainer's only the precision, where it is not trained on."""
    stored = yaml.safe_load(checkpoint[CLI_CONFIG])
    stored.pop("ckpt_path", None)
    if command != "fit":
        precision = stored["trainer"]["precision"]
        stored = {key: stored[key] for key in _EVALUATION_KEYS}
        stored["trainer"] = {"precision": precision}
        stored["data"].pop("cache_dir")  # of the machine that trained
    return yaml.safe_dump(stored, allow_unicode=True)
